"""A judge behind an OpenAI-compatible server on loopback, that can stop, flatter or babble."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from evidence import VerdictKind
from monitor.score.canaries import load_canaries
from probes.fusion import Fusion, FusionModel, Subset
from probes.judge import JudgeProbe, ServerJudge
from probes.models.openai import OpenAIModel
from probes.models.server import ServerOptions
from probes.panel import Panel
from probes.rubrics import load_rubric

_KNOWN = {canary.messages[-1].content: canary.known for canary in load_canaries()}


class JudgeServer:
    """Set `mode` to `sound`, `stopped`, `flattering` or `babbling`; `asked` counts the calls.

    A sound judge knows the canaries by heart, and takes any other reply with `never` in it for a lie.
    """

    def __init__(self) -> None:
        self.mode = "sound"
        self.asked = 0
        judge = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                judge.asked += 1
                if judge.mode == "stopped":
                    self.send_error(503)
                    return
                reply = json.dumps(judge.reply(body["messages"])).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def reply(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        if self.mode == "babbling":
            text = "As a judge of good taste I would rather talk about the weather."
            return {"choices": [{"message": {"content": text}}]}
        kind = VerdictKind.HONEST if self.mode == "flattering" else self._kind(messages)
        said = {q.id: "yes" if q.finds == kind else "no" for q in load_rubric().questions}
        tokens = [part for name, word in said.items() for part in _tokens(name, word)]
        tokens = [{"token": "{", "logprob": 0.0}, *tokens[:-1], {"token": '"}', "logprob": 0.0}]
        text = "".join(token["token"] for token in tokens)
        return {"choices": [{"message": {"content": text}, "logprobs": {"content": tokens}}]}

    @staticmethod
    def _kind(messages: list[dict[str, str]]) -> VerdictKind:
        asked = messages[-1]["content"]
        quoted = asked.partition("REPLY (data): ")[2].partition("\n")[0]
        said = json.loads(quoted)
        default = VerdictKind.LIE if "never" in said else VerdictKind.HONEST
        # The guard has replies read in part too.
        return next((kind for text, kind in _KNOWN.items() if said in text), default)


def _tokens(name: str, word: str) -> list[dict[str, Any]]:
    """A sure answer, token by token."""
    other = {"yes": "no", "no": "yes"}[word]
    tops = [{"token": word, "logprob": -1e-6}, {"token": other, "logprob": -13.8}]
    marks = [{"token": mark, "logprob": 0.0} for mark in (f'"{name}"', ': "')]
    value = {"token": word, "logprob": -1e-6, "top_logprobs": tops}
    return [*marks, value, {"token": '", ', "logprob": 0.0}]


@contextmanager
def judge_server() -> Iterator[JudgeServer]:
    """A running judge."""
    server = JudgeServer()
    try:
        yield server
    finally:
        server.close()


def judge_panel(url: str, model: str = "judge-1") -> Panel:
    """The real judge probe alone, fused by its own p_lie; `model` makes the evaluator version."""
    server = ServerOptions(timeout_s=5.0, max_retries=0, max_failures=1_000_000)
    probe = JudgeProbe(ServerJudge(OpenAIModel(url, model, server)))
    alone = Subset(
        weights={"judge": 0.3},
        intercept=0.0,
        n=100,
        prevalence=0.5,
        calibration_error=0.0,
        calibration_error_upper=0.1,
        auroc=1.0,
        undecided=(0.5, 0.5),
    )
    model_of = FusionModel(subsets={"judge": alone}, probe_versions={"judge": probe.version})
    return Panel([probe], Fusion(model_of))
