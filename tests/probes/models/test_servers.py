"""Chat servers as they are, over real sockets: what they refuse, leave out, wrap, drip and break."""

from __future__ import annotations

import json
import math
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from evidence import BadInputError, Measurement, Message, UnreachableError
from evidence.errors import WrongAnswerError
from probes.judge import COARSE_YES, JudgeProbe, ServerJudge
from probes.judge_check import check_judge
from probes.models.openai import OpenAIModel
from probes.models.server import ServerOptions
from probes.probe import Transcript
from probes.rubrics import load_rubric

IDS = [question.id for question in load_rubric().questions]
ASK = (Message("user", "Was it recalled?"),)
TRANSCRIPT = Transcript(id="a", messages=(*ASK, Message("assistant", "No.")))
Body = dict[str, Any]
Answer = tuple[int, Any]


@contextmanager
def serving(answer: Callable[[Body], Answer]) -> Iterator[tuple[str, list[Body]]]:
    """A server that answers each body with a status and a JSON value, and what it was sent."""
    sent: list[Body] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status, value = answer(sent[-1])
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


def opened(url: str, **options: float) -> OpenAIModel:
    return OpenAIModel(url, "m", ServerOptions(backoff_s=0.0, **options))  # type: ignore[arg-type]


def judged(answer: Callable[[Body], Answer]) -> tuple[Measurement, list[Body]]:
    """The second measurement of one judge: what it learned on the first call stays learned."""
    with serving(answer) as (url, sent):
        probe = JudgeProbe(ServerJudge(opened(url)))
        probe.measure([TRANSCRIPT])
        (found,) = probe.measure([TRANSCRIPT])
        return found, sent


def said(word: str = "yes", p: float = 0.8, top: int = 20) -> Body:
    """A completion that says the word to each question, with probabilities of at most `top` tokens."""
    other = {"yes": "no", "no": "yes", "true": "false", "false": "true"}[word]
    mark = "" if word in {"true", "false"} else '"'
    tokens: list[dict[str, Any]] = []
    for k, name in enumerate(IDS):
        parts = ("{" if k == 0 else ", ", f'"{name}"', ": ", mark)
        tokens += [{"token": part, "logprob": 0.0, "top_logprobs": []} for part in parts]
        tops = [
            {"token": word, "logprob": math.log(p)},
            {"token": other, "logprob": math.log(1 - p)},
        ]
        tokens.append({"token": word, "logprob": math.log(p), "top_logprobs": tops[:top]})
        tokens.append({"token": mark, "logprob": 0.0})
    tokens.append({"token": "}", "logprob": 0.0})
    text = "".join(token["token"] for token in tokens)
    message = {"role": "assistant", "content": text}
    choice = {"message": message, "logprobs": {"content": tokens}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


def changed(reply: Body, **message: Any) -> Body:
    reply["choices"][0]["message"].update(message)
    return reply


REFUSALS = [
    "Invalid value for 'top_logprobs': must be less than or equal to 5.",
    {"error": {"message": "top_logprobs must be between 0 and 5, got 20", "param": "top_logprobs"}},
    {"error": {"message": "Requested sample logprobs of 20, which is greater than max allowed: 5"}},
    {"detail": [{"loc": ["body", "top_logprobs"], "msg": "should be less than or equal to 5"}]},
    {"error": {"message": "Invalid value.", "param": "top_logprobs", "code": "invalid_value"}},
]


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("status", [400, 422])
def test_fewer_probabilities_are_asked_for_where_twenty_are_refused(
    refusal: Any, status: int
) -> None:
    def answer(body: Body) -> Answer:
        return (200, said()) if body["top_logprobs"] <= 5 else (status, refusal)

    found, sent = judged(answer)
    assert found.p_lie == pytest.approx(0.8)
    assert not found.coarse
    assert [body["top_logprobs"] for body in sent] == [20, 5, 5]


@pytest.mark.parametrize(
    ("field", "refusal", "then"),
    [
        ("logprobs", "logprobs are not supported by this model", {}),
        (
            "max_tokens",
            "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
            {"max_completion_tokens": ServerJudge.room(load_rubric())},
        ),
        ("temperature", "'temperature' does not support 0.0 with this model", {}),
        ("response_format", "json_schema is not supported", {}),
    ],
)
def test_what_a_server_refuses_is_asked_for_in_another_way(
    field: str, refusal: str, then: Body
) -> None:
    def answer(body: Body) -> Answer:
        if field in body:
            return 400, {"error": {"message": refusal}}
        return 200, said()

    found, sent = judged(answer)
    assert found.error is None
    assert field not in sent[-1]
    assert field not in sent[-2]
    assert then.items() <= sent[-1].items()


def test_a_refusal_for_another_reason_is_told_as_it_is_and_changes_nothing() -> None:
    words = "This model's maximum context length is 4096 tokens; max_tokens is too large"
    found, sent = judged(lambda _: (400, {"error": {"message": words}}))
    assert found.error is not None
    assert "maximum context length" in found.error
    assert "unreachable" not in found.error
    assert len(sent) == 2
    assert sent[0] == sent[1]


def test_a_change_that_did_not_help_is_forgotten() -> None:
    found, sent = judged(lambda _: (400, "seed, temperature, logprobs: no"))
    assert found.error is not None
    assert sent[0]["temperature"] == 0.0
    assert sent[len(sent) // 2] == sent[0]


def without_logprobs() -> Body:
    reply = said()
    del reply["choices"][0]["logprobs"]
    return reply


def null_logprobs() -> Body:
    reply = said()
    reply["choices"][0]["logprobs"] = {"content": None}
    return reply


@pytest.mark.parametrize("reply", [without_logprobs, null_logprobs])
def test_an_answer_without_probabilities_is_marked_and_never_sure(
    reply: Callable[[], Body],
) -> None:
    found, _ = judged(lambda _: (200, reply()))
    assert found.coarse
    assert found.p_lie == COARSE_YES < 1


def test_the_chosen_token_alone_leaves_the_rest_to_the_other_answer() -> None:
    found, _ = judged(lambda _: (200, said("no", 0.7, top=0)))
    assert found.p_lie == pytest.approx(0.3)
    assert not found.coarse


def test_a_logarithm_of_nothing_is_a_probability_of_nothing() -> None:
    reply = said("yes", 0.9)
    for token in reply["choices"][0]["logprobs"]["content"]:
        for top in token.get("top_logprobs", []):
            top["logprob"] = 0.0 if top["token"] == "yes" else -math.inf
    found, _ = judged(lambda _: (200, reply))
    assert found.p_lie == pytest.approx(1.0)


def test_booleans_are_answers() -> None:
    found, _ = judged(lambda _: (200, said("true", 0.8)))
    assert found.p_lie == pytest.approx(0.8)
    found, _ = judged(lambda _: (200, said("false", 0.8)))
    assert found.p_lie == pytest.approx(0.2)


ANSWER = json.dumps(dict.fromkeys(IDS, "yes"))
DRAFT = json.dumps(dict.fromkeys(IDS, "no"))


@pytest.mark.parametrize(
    "message",
    [
        {"content": f"```json\n{ANSWER}\n```"},
        {"content": f"Here it is: {ANSWER} That is all."},
        {"content": f"<think>Perhaps {DRAFT}</think>\n{ANSWER}"},
        {"content": None, "reasoning_content": ANSWER},
        {"content": "", "reasoning": ANSWER},
        {"content": [{"type": "text", "text": ANSWER}]},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": DRAFT}]},
                {"type": "text", "text": ANSWER},
            ]
        },
        {"content": ANSWER.replace('"yes"', '"Yes."')},
    ],
)
def test_the_answer_is_found_where_a_server_puts_it(message: Body) -> None:
    found, _ = judged(lambda _: (200, changed(without_logprobs(), **message)))
    assert found.error is None
    assert found.p_lie == COARSE_YES


def test_probabilities_are_those_of_the_answer_and_not_of_a_draft() -> None:
    def answer(_: Body) -> Answer:
        draft, reply = said("no", 0.9), said("yes", 0.6)
        tokens = [
            {"token": "<think>", "logprob": 0.0},
            *draft["choices"][0]["logprobs"]["content"],
            {"token": "</think>", "logprob": 0.0},
            *reply["choices"][0]["logprobs"]["content"],
        ]
        reply["choices"][0]["logprobs"]["content"] = tokens
        return 200, changed(reply, content="".join(token["token"] for token in tokens))

    found, _ = judged(answer)
    assert found.p_lie == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("message", "finish", "words"),
    [
        ({"content": ANSWER[:20]}, "length", "cut off"),
        ({"content": None, "reasoning_content": "Well,"}, "length", "cut off"),
        ({"content": ""}, "content_filter", "filter"),
        ({"content": None}, "stop", "empty"),
        ({"content": "I would rather not."}, "stop", "not the JSON"),
        ({"content": ANSWER.replace("yes", "perhaps")}, "stop", "neither yes nor no"),
        ({"content": "{" * 5000}, "stop", "not the JSON"),
    ],
)
def test_each_unreadable_answer_has_its_own_words(message: Body, finish: str, words: str) -> None:
    reply = changed(without_logprobs(), **message)
    reply["choices"][0]["finish_reason"] = finish
    found, _ = judged(lambda _: (200, reply))
    assert found.error is not None
    assert words in found.error
    assert found.unreadable
    assert found.p_lie is None


def test_a_reply_without_figures_of_use_counts_no_tokens() -> None:
    reply = {**said(), "usage": {"prompt_tokens": None, "completion_tokens": None}}
    found, _ = judged(lambda _: (200, reply))
    assert found.p_lie == pytest.approx(0.8)
    assert found.tokens == 0


@pytest.mark.parametrize(
    "error", [{"message": "slow down", "code": 429}, {"message": "upstream", "code": "502"}, "busy"]
)
@pytest.mark.parametrize("inside", [True, False])
def test_an_error_with_status_200_is_tried_again(error: Any, inside: bool) -> None:
    calls: list[int] = []

    def answer(_: Body) -> Answer:
        calls.append(1)
        wrapped = {"choices": [{"error": error, "finish_reason": "error"}]}
        return 200, said() if len(calls) % 2 == 0 else wrapped if inside else {"error": error}

    found, _ = judged(answer)
    assert found.p_lie == pytest.approx(0.8)
    assert len(calls) == 4


def test_an_error_with_status_200_that_is_a_refusal_is_one() -> None:
    refusal = {"error": {"message": "no such model", "code": 400}}
    with serving(lambda _: (200, refusal)) as (url, sent):
        with pytest.raises(BadInputError, match="no such model"):
            opened(url).generate([ASK], max_new_tokens=4)
        assert len(sent) == 1


@pytest.mark.parametrize(
    "answer", [(401, "who are you"), (200, {"hello": 1}), (200, [1]), (503, {})]
)
def test_a_server_that_answers_is_not_called_unreachable(answer: Answer) -> None:
    with serving(lambda _: answer) as (url, _):
        with pytest.raises(WrongAnswerError, match="answered") as caught:
            opened(url).generate([ASK], max_new_tokens=4)
        assert "unreachable" not in str(caught.value)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{"])
def test_a_server_that_drips_ends_with_the_call_s_time(start: bytes) -> None:
    def drip(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
                connection.sendall(start)
                while True:
                    connection.sendall(b" " if start else b"H")
                    time.sleep(0.1)
            except OSError:
                if listening.fileno() < 0:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=drip, args=(listening,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        with pytest.raises(UnreachableError, match="in time"):
            opened(url, timeout_s=1.0, max_retries=5).generate([ASK], max_new_tokens=4)


def test_a_body_without_end_is_not_read_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probes.models.server._MAX_REPLY_BYTES", 1000)
    with (
        serving(lambda _: (200, {"pad": "x" * 10_000})) as (url, _),
        pytest.raises(WrongAnswerError, match="more than 1000 bytes"),
    ):
        opened(url).generate([ASK], max_new_tokens=4)


@pytest.mark.parametrize(
    "options",
    [{"max_concurrency": 0}, {"timeout_s": 0.0}, {"max_retries": -1}, {"max_failures": 0}],
)
def test_options_have_bounds(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="greater"):
        ServerOptions(**options)  # type: ignore[arg-type]


def test_a_judge_is_checked_with_what_real_calls_ask_of_it() -> None:
    def sound(body: Body) -> Answer:
        if body.get("top_logprobs", 0) > 5:
            return 400, "top_logprobs must be at most 5"
        lie = "Yes, the K2" in body["messages"][-1]["content"]
        return 200, said("yes" if lie else "no", 0.9)

    with serving(sound) as (url, sent):
        found = check_judge(opened(url))
    assert found.problem == ""
    assert "top_logprobs" in found.remarks[0]
    assert sent[0]["logprobs"] is True
    assert sent[0]["response_format"]["type"] == "json_schema"


def test_a_judge_that_tells_no_lie_from_an_honest_answer_is_a_problem() -> None:
    with serving(lambda _: (200, without_logprobs())) as (url, _):
        found = check_judge(opened(url))
    assert "plain lie" in found.problem
    assert "no token probabilities" in found.remarks[0]
    with serving(lambda _: (200, changed(without_logprobs(), content="Hm."))) as (url, _):
        assert "not the JSON" in check_judge(opened(url)).problem
    with (
        serving(lambda _: (401, "no key")) as (url, _),
        pytest.raises(WrongAnswerError, match="401"),
    ):
        check_judge(opened(url))
