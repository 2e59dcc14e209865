"""Hidden states of a model that vLLM serves with the plugin vllm-lens, over HTTP."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
import numpy as np

from evidence import BadInputError, digest
from evidence.errors import WrongAnswerError
from evidence.structs import build_types
from probes.models.chat import Chat
from probes.models.encoding import Encoded, encode
from probes.models.identity import identity, sample, weight_files
from probes.models.lens_reply import (
    LensReply,
    handle_path,
    read_contexts,
    read_reply,
    unpack,
)
from probes.models.messages import seeds
from probes.models.server import Server, ServerOptions
from probes.models.states import States

_In = TypeVar("_In")
_Out = TypeVar("_Out")
_CELL_BYTES = 4
_SLACK_BYTES = 1 << 20
_NO_PLUGIN = "answers without hidden states; start vLLM with the plugin vllm-lens installed"
_CHECKED = "\nÖl kostet 12,50 €? 不,它没有被召回。 Нет! naïve <b>x</b>\t{'a': 1}  def f(x):\n    return 0xFF 👍🏽"


class Shape(NamedTuple):
    """What the configuration of a model says: how many blocks, how wide."""

    n_layers: int
    width: int


class LensModel:
    """A served model whose states are as those of `LocalModel`, checked when it is opened.

    Blocks are numbered from 1 here and from 0 by the plugin. The states of a call come behind a
    handle (the plugin's binary transport), or in the reply where the server gives no handle or
    another of its processes holds it.

    Parameters
    ----------
    server
        The base URL ends in `/v1`.
    model
        Name at that server; an adapter's name reads the model with the adapter.
    tokenizer
        From transformers, of the model's own folder: conversations are written and cut here.
    shape
        Of the model, from the same folder.
    weights
        Folder with the weights, where they are at hand: then the identity is theirs, and a probe
        that was fitted to them in process reads the server too. None takes the served name.
    """

    def __init__(
        self,
        server: Server,
        model: str,
        tokenizer: Any,
        shape: Shape,
        *,
        weights: Path | None,
        context: int | None,
        options: ServerOptions,
    ) -> None:
        self._server, self.model, self.tokenizer = server, model, tokenizer
        self._shape, self._options = shape, options
        self._room = 2048 if context is None else context - 1
        self._binary = True
        self.dtype = self._checked()
        self._digest = (
            identity(weights, None, self.dtype, tokenizer)
            if weights
            else digest("vllm-lens", model, self.dtype, repr(tuple(sample(tokenizer))))
        )

    @classmethod
    def open(
        cls,
        url: str,
        folder: Path,
        *,
        model: str | None = None,
        options: ServerOptions | None = None,
        api_key: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> LensModel:
        """The model that `url` serves, by default the first, with tokenizer files from `folder`.

        Raises BadInputError where the server has no such model, no plugin, states of another width
        or another tokenizer, and UnreachableError where it does not answer.
        """
        tokenizer, shape = _read_folder(folder)
        options = options or ServerOptions()
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        server = Server(url, options, headers, transport=transport)
        served = server.call("GET", "/models", None, read_contexts)
        name = model or next(iter(served), "")
        if name not in served:
            names = ", ".join(sorted(served)) or "none"
            raise BadInputError(f"serves no model {name!r}; it serves {names}", url)
        return cls(
            server,
            name,
            tokenizer,
            shape,
            weights=folder if weight_files(folder) else None,
            context=served[name],
            options=options,
        )

    @property
    def name(self) -> str:
        return self.model

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def n_layers(self) -> int:
        return self._shape.n_layers

    @property
    def width(self) -> int:
        return self._shape.width

    def encode(self, chat: Chat, response: str = "", *, max_tokens: int | None = None) -> Encoded:
        """Token ids of a conversation and the assistant turn after it, within the server's context."""
        return encode(self.tokenizer, chat, response, min(max_tokens or self._room, self._room))

    def hidden(
        self, encoded: Sequence[Encoded], layers: Sequence[int], *, whole: bool = False
    ) -> list[States]:
        """As `LocalModel.hidden`: residual stream after blocks, 1 = the first; calls in parallel.

        Raises BadInputError for a block that the model has not, UnreachableError when a call fails.
        """
        wanted = sorted(set(layers))
        if wanted[0] < 1 or wanted[-1] > self.n_layers:
            raise BadInputError(f"has blocks 1 to {self.n_layers}, not {list(layers)}", self.model)
        rows = [wanted.index(layer) for layer in layers]

        def read(item: Encoded) -> States:
            if not item.response:
                return np.zeros((len(layers), 0, self.width), np.float32)
            states = self._states([*item.prompt, *item.response], wanted)
            return states[rows] if whole else states[rows, -len(item.response) :]

        return self._parallel(read, encoded)

    def generate(
        self,
        batch: Sequence[Chat],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[str]:
        """The next assistant turn of each conversation, in order, calls in parallel.

        A conversation's seed is keyed by `seed`, its text and how often it came before in the batch.
        """
        room = max(16, self._room - max_new_tokens)
        settings = {"max_tokens": max_new_tokens, "temperature": temperature}

        def ask(call: tuple[Chat, int]) -> str:
            prompt = self.encode(call[0], max_tokens=room).prompt
            return self._complete({"prompt": prompt, "seed": call[1], **settings}).text.strip()

        return self._parallel(ask, list(zip(batch, seeds(batch, seed), strict=True)))

    def close(self) -> None:
        self._server.close()

    def _checked(self) -> str:
        """Compare a sample's tokens and states with what the folder says; the precision it has."""
        url = self._server.url
        text = self.tokenizer.decode(sample(self.tokenizer).prompt) + _CHECKED
        expected = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        asked = {
            "prompt": text,
            "add_special_tokens": False,
            "return_token_ids": True,
            "max_tokens": 1,
            "vllm_xargs": {"output_residual_stream": [0]},
        }
        reply = self._complete(asked)
        if reply.states is None:
            raise BadInputError(_NO_PLUGIN, url)
        if reply.prompt is None:
            raise BadInputError("does not say how it cuts text into tokens; use a later vLLM", url)
        if list(reply.prompt) != list(expected):
            raise BadInputError(
                f"cuts text into other tokens than the folder's tokenizer; is {self.model!r} the"
                " model of that folder?",
                url,
            )
        if reply.states.shape[-1:] != (self.width,):
            width = reply.states.shape[-1] if reply.states.shape else 0
            raise BadInputError(
                f"has states of width {width}, the model of the folder {self.width}", url
            )
        found = reply.states.original_dtype or reply.states.dtype
        return found.removeprefix("torch.")

    def _states(self, ids: list[int], wanted: list[int]) -> States:
        """States of all tokens after the wanted blocks, in rising order."""
        found = self._asked(ids, wanted, binary=True) if self._binary else None
        if found is None:
            self._binary = False  # another process of the server holds them: inline from now on
            found = self._asked(ids, wanted, binary=False)
        if found is None:
            raise WrongAnswerError(self._server.url, "with a handle to states that it has not")
        return found

    def _asked(self, ids: list[int], wanted: list[int], *, binary: bool) -> States | None:
        """The states by one transport; None where they lie behind a handle that leads nowhere."""
        shape = (len(wanted), len(ids), self.width)
        most = math.prod(shape) * _CELL_BYTES * 4 // 3 + _SLACK_BYTES
        how = {"activations_transport": "binary"} if binary else {}
        layers = [layer - 1 for layer in wanted]
        xargs = {"output_residual_stream": layers, **how}
        body = {"prompt": ids, "max_tokens": 1, "vllm_xargs": xargs}
        packed = self._complete(body, max_bytes=most).states
        if packed is None:
            raise BadInputError(_NO_PLUGIN, self._server.url)
        try:
            raw = None
            if packed.data is None:
                path = handle_path(packed)
                raw = self._server.call("GET", path, None, bytes, max_bytes=most)
            return unpack(packed, raw, shape)
        except ValueError as error:
            raise WrongAnswerError(self._server.url, f"with {error}") from error
        except WrongAnswerError:
            return None

    def _complete(self, fields: dict[str, Any], max_bytes: int = _SLACK_BYTES) -> LensReply:
        body = {"model": self.model, "temperature": 0.0, **fields}
        return self._server.call("POST", "/completions", body, read_reply, max_bytes=max_bytes)

    def _parallel(self, do: Callable[[_In], _Out], items: Sequence[_In]) -> list[_Out]:
        if len(items) <= 1:
            return [do(item) for item in items]
        build_types()
        with ThreadPoolExecutor(min(self._options.max_concurrency, len(items))) as pool:
            return list(pool.map(do, items))


def _read_folder(folder: Path) -> tuple[Any, Shape]:
    """The tokenizer and the shape of the model in a folder; its weights are not needed."""
    from transformers import AutoConfig, AutoTokenizer  # noqa: PLC0415 -- slow import

    if not (folder / "config.json").is_file():
        raise BadInputError("no model here: config.json is missing", str(folder))
    try:
        config = AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        ).get_text_config()
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        return tokenizer, Shape(int(config.num_hidden_layers), int(config.hidden_size))
    except (OSError, ValueError, AttributeError) as error:
        raise BadInputError(f"no usable tokenizer and config.json: {error}", str(folder)) from error
