"""The adapters against the real OpenAI SDK, LiteLLM and LangChain, and the project's own API."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evidence import Message
from evidence.tools import tool_record
from tests.candor_client.conftest import engine, make_service, serve, service
from tests.candor_client.test_client import queued
from tests.monitor.api.conftest import Service
from tests.system.services import missing
from tests.system.vllm_server import services_dir

__all__ = ["engine", "make_service", "serve", "service"]

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]


class Model(BaseHTTPRequestHandler):
    """A model behind OpenAI's API that says back what it was asked: who it is does not matter here."""

    count = 0

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Model.count += 1
        if self.path.endswith("/responses"):
            self._respond(asked)
            return
        words = asked["messages"][-1]["content"]
        base = {"id": f"chatcmpl-{Model.count}", "created": 1_790_000_000, "model": "m-served"}
        if words == "fail":
            self._say(400, "application/json", json.dumps({"error": {"message": "no"}}).encode())
        elif asked.get("stream"):
            self._say(200, "text/event-stream", _chunks(base, words))
        else:
            message = {"role": "assistant", "content": f"{words}, yes."}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            whole = base | {"object": "chat.completion", "choices": [choice], "usage": usage}
            self._say(200, "application/json", json.dumps(whole).encode())

    def _respond(self, asked: dict[str, Any]) -> None:
        """The Responses API: items in, items out, and events of its own."""
        given = asked["input"]
        words = given if isinstance(given, str) else given[-1].get("content", "result")
        if words == "fail":
            self._say(400, "application/json", json.dumps({"error": {"message": "no"}}).encode())
            return
        whole = _response(words, is_later=bool(asked.get("background")))
        if asked.get("stream"):
            self._say(200, "text/event-stream", _events(whole))
        else:
            self._say(200, "application/json", json.dumps(whole).encode())

    def _say(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def _response(words: str, *, is_later: bool) -> dict[str, Any]:
    said = f"{words}, yes." if words != "resp parse" else '{"words": "yes."}'
    part = {"type": "output_text", "text": said, "annotations": []}
    item: dict[str, Any] = {"type": "message", "id": "msg-1", "role": "assistant"}
    item |= {"status": "completed", "content": [part]}
    if words == "resp tool":
        item = {"type": "function_call", "id": "fc-1", "call_id": "call-1", "name": "look_up"}
        item |= {"arguments": '{"a": 1}', "status": "completed"}
    thought = {"type": "reasoning", "id": "rs-1", "summary": []}
    return {
        "id": f"resp-{Model.count}",
        "object": "response",
        "created_at": 1_790_000_000,
        "model": "m-served",
        "status": "queued" if is_later else "completed",
        "output": [] if is_later else [thought, item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def _events(whole: dict[str, Any]) -> bytes:
    message = whole["output"][1]
    (part,) = message["content"]
    place = {"item_id": message["id"], "output_index": 1, "content_index": 0}
    begun = whole | {"status": "in_progress", "output": []}
    told: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": whole["output"][0]},
        {"type": "response.output_item.added", "output_index": 1, "item": message | {"content": []}},
        {"type": "response.content_part.added", **place, "part": part | {"text": ""}},
        *({"type": "response.output_text.delta", **place, "delta": one, "logprobs": []}
          for one in part["text"].partition(" ")),
        {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []},
        {"type": "response.completed", "response": whole},
    ]  # fmt: skip
    lines = (
        f"event: {one['type']}\ndata: {json.dumps(one | {'sequence_number': k})}\n\n"
        for k, one in enumerate(told)
    )
    return "".join(lines).encode()


def _chunks(base: dict[str, Any], words: str) -> bytes:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if words == "tool":
        call = {"index": 0, "id": "call-1", "type": "function"}
        deltas.append({"tool_calls": [call | {"function": {"name": "look_up", "arguments": ""}}]})
        deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": '{"a": '}}]})
        deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]})
    else:
        deltas += [{"content": part} for part in (words, ", ", "yes.")]
    lines = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    lines.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    told = [base | {"object": "chat.completion.chunk", "choices": [line]} for line in lines]
    return "".join(f"data: {json.dumps(one)}\n\n" for one in told).encode() + b"data: [DONE]\n\n"


@pytest.fixture
def model() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


def test_what_each_library_answers_reaches_the_api_once(
    service: Service,
    serve: Callable[[Service], str],
    model: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The libraries' turns are of this moment.
    monkeypatch.setattr("tests.monitor.api.conftest.NOW_S", time.time())
    python = services_dir() / "senders" / "bin" / "python"
    if not python.exists():
        missing("the packages that send responses are not installed: run tools/services.sh")
    done = subprocess.run(
        [str(python), str(Path(__file__).with_name("senders.py")), serve(service), model],
        env=os.environ | {"PYTHONPATH": str(ROOT), "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    records = queued(service, "assistant.responses")
    assert found["recorder"] == {"sent": len(records), "dropped": 0}
    by_words = {record["messages"][-2]["content"]: record for record in records}
    assert len(by_words) == len(records), "each once"
    words_of_all = "whole/stream/tool/async whole/async stream/chain/chain stream"
    words_of_all += "/lite whole/lite stream/lite async"
    words_of_all += "/resp whole/resp stream/resp events/resp parse/resp tool/42"
    words_of_all += "/async resp whole/async resp stream"
    assert sorted(by_words) == sorted(words_of_all.split("/"))
    for words, record in by_words.items():
        answer = record["messages"][-1]
        assert record["assistant"] == "shop"
        assert record["response_id"].startswith(("chatcmpl-", "lc_run-", "resp-")), words
        if words in {"tool", "resp tool"}:
            (call,) = answer["tool_calls"]
            assert (call["name"], call["arguments"]) == ("look_up", '{"a": 1}')
            assert [tool["type"] for tool in record["tools"]] == ["function"]
        elif words not in {"42", "resp parse"}:
            assert (answer["role"], answer["content"]) == ("assistant", f"{words}, yes.")
    for name in ("openai", "openai async", "langchain", "litellm"):
        assert found[name]["whole"].endswith(", yes.")
        assert found[name]["streamed"].endswith(", yes.")
    _responses_are_whole(found, by_words)
    assert by_words["whole"]["conversation_id"] == "c-1"
    assert by_words["whole"]["trace_id"] == found["trace"]["id"]
    assert "trace_id" not in by_words["async whole"]
    assert by_words["lite whole"]["conversation_id"] == "s-1"
    assert by_words["chain"]["conversation_id"] == "t-1"
    assert by_words["chain"]["response_id"] == found["langchain"]["id"]
    raters = {words: by_words[words]["rater"] for words in ("whole", "lite whole", "chain")}
    assert len(set(raters.values())) == 3
    assert by_words["whole"]["model"] == "m-served"


def _responses_are_whole(found: dict[str, Any], by_words: dict[str, Any]) -> None:
    """What is said of the Responses API: the same to its caller, and the whole turn to Candor."""
    answers = found["responses"]
    assert answers["whole"] == "resp whole, yes."
    assert answers["streamed"] == "resp stream, yes."
    assert (answers["events"], answers["parsed"]) == ("resp events, yes.", "yes.")
    assert (answers["told"], answers["raw"]) == ("result, yes.", "resp raw, yes.")
    assert found["responses async"]["streamed"] == "async resp stream, yes."
    whole = by_words["resp whole"]
    assert [m["role"] for m in whole["messages"]] == ["system", "user", "assistant"]
    assert (whole["conversation_id"], whole["model"]) == ("r-1", "m-served")
    assert whole["trace_id"] == found["trace"]["id"]
    assert by_words["async resp whole"]["conversation_id"] == "conv-1"
    called, told = by_words["resp tool"], by_words["42"]
    assert told["conversation_id"] == called["conversation_id"]
    said = [(m["role"], m["content"]) for m in told["messages"]]
    assert said == [("system", "Be polite."), ("user", "resp tool"), ("assistant", ""), ("tool", "42"), ("assistant", "result, yes.")]  # fmt: skip
    (act,) = tool_record([msgspec.convert(m, Message) for m in told["messages"]], told).acts
    assert (act.name, act.arguments, act.result) == ("look_up", '{"a": 1}', "42")
