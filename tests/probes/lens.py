"""A server with vllm-lens, as the plugin answers, in front of a model in this process."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import zstandard

from probes.models.encoding import Encoded
from probes.models.lens import LensModel
from probes.models.local import LocalModel
from probes.models.server import ServerOptions

Reply = dict[str, Any]
Change = Callable[[Reply], Reply | None]
URL = "http://lens/v1"


class LensServer:
    """Answers with the model's real states, packed as the plugin packs them.

    `change` sees every completion before it is sent and may return another. `sent` keeps the bodies.
    """

    def __init__(self, model: LocalModel, *, change: Change | None = None, forgets: bool = False):
        self.model, self.change, self.forgets = model, change, forgets
        self.sent: list[Reply] = []
        self._held: dict[str, bytes] = {}

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "m", "max_model_len": 400}]})
        if path.startswith("/v1/activations/"):
            held = self._held.get(path.rpartition("/")[2])
            return httpx.Response(404) if held is None else httpx.Response(200, content=held)
        body = json.loads(request.content)
        self.sent.append(body)
        reply = self._completion(body)
        changed = self.change(reply) if self.change else None
        return httpx.Response(200, json=changed or reply)

    def _completion(self, body: Reply) -> Reply:
        ids = body["prompt"]
        if isinstance(ids, str):
            ids = self.model.tokenizer(ids, add_special_tokens=False)["input_ids"]
        choice: Reply = {"text": "x"}
        if body.get("return_token_ids"):
            choice["prompt_token_ids"] = ids
        reply: Reply = {"choices": [choice]}
        asked = body.get("vllm_xargs")
        if asked is None:
            text = self.model.tokenizer.decode(ids)
            choice["text"] = f" {'No' if len(text) % 2 else 'Yes'}."
            return reply
        layers = [layer + 1 for layer in sorted(asked["output_residual_stream"])]
        (states,) = self.model.hidden([Encoded(ids[:-1], ids[-1:])], layers, whole=True)
        reply["activations"] = {"residual_stream": self._packed(states, asked)}
        return reply

    def _packed(self, states: np.ndarray, asked: Reply) -> Reply:
        raw = zstandard.ZstdCompressor(level=1).compress(states.tobytes())
        told: Reply = {
            "dtype": "float32",
            "original_dtype": "torch.float32",
            "shape": list(states.shape),
            "compression": "zstd",
        }
        if asked.get("activations_transport") != "binary":
            return {"data": base64.b64encode(raw).decode(), **told}
        handle = f"handle-{len(self._held)}"
        if not self.forgets:
            self._held[handle] = raw
        return {"handle": handle, "nbytes": len(raw), "transport": "binary", **told}


def opened(server: LensServer, folder: Path) -> LensModel:
    """The reader on such a server, with tokenizer files from `folder`."""
    options = ServerOptions(backoff_s=0.0, max_retries=0)
    return LensModel.open(URL, folder, options=options, transport=server.transport)
