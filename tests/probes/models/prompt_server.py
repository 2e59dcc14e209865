"""vLLM's chat route over a real socket, with true log-probabilities of a small model's own tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from probes.models.encoding import Encoded
from probes.models.local import LocalModel

Body = dict[str, Any]
Answer = tuple[int, Body]
Change = Callable[[Body, Answer], Answer]


def unchanged(_: Body, answer: Answer) -> Answer:
    return answer


@contextmanager
def prompt_server(
    model: LocalModel,
    *,
    template: str | None = None,
    names: Sequence[str] = ("m",),
    context: int = 400,
    change: Change = unchanged,
) -> Iterator[tuple[str, list[Body]]]:
    """Serve the model; yields the base URL and the bodies that it was sent."""
    sent: list[Body] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.write(200, {"data": [{"id": name} for name in names]})

        def do_POST(self) -> None:
            sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = sent[-1]
            self.write(*change(body, _answer(model, body, template, names, context)))

        def write(self, status: int, value: Body) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", sent
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(
    model: LocalModel, body: Body, template: str | None, names: Sequence[str], context: int
) -> Answer:
    if body["model"] not in names:
        return 404, {"error": {"message": f"The model `{body['model']}` does not exist."}}
    fields = ("add_generation_prompt", "continue_final_message")
    try:
        text = model.tokenizer.apply_chat_template(
            body["messages"],
            tokenize=False,
            chat_template=template,
            **{name: body[name] for name in fields},
        )
    except ValueError as error:
        return 400, {"error": {"message": str(error)}}
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(ids) > context:
        words = (
            f"This model's maximum context length is {context} tokens. However, your prompt contains"
            f" at least {len(ids)} input tokens."
        )
        return 400, {"error": {"message": words}}
    (logprobs,) = model.token_logprobs([Encoded(ids[:1], ids[1:])])
    entries = [
        {str(token): {"logprob": float(p), "rank": 1, "decoded_token": model.tokenizer.decode([token])}}
        for token, p in zip(ids[1:], logprobs, strict=True)
    ]  # fmt: skip
    return 200, {"prompt_logprobs": [None, *entries], "prompt_token_ids": ids}
