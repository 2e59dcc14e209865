from __future__ import annotations

import json
import math
import random
from collections.abc import Callable

import httpx
import pytest

from evidence import BadInputError, Message, UnreachableError
from probes.judge import JudgeProbe, ServerJudge
from probes.models.chat import ChatModel
from probes.models.openai import OpenAIModel
from probes.models.server import ServerOptions
from probes.probe import Transcript

ASK = (Message("user", "Was it recalled?"),)
Handler = Callable[[httpx.Request], httpx.Response]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def model(handler: Handler, clock: Clock | None = None, **options: float) -> OpenAIModel:
    clock = clock or Clock()
    return OpenAIModel(
        "http://judge/v1",
        "m",
        ServerOptions(**options),  # type: ignore[arg-type]
        transport=httpx.MockTransport(handler),
        clock=clock,
        sleep=clock.sleep,
        rng=random.Random(0),
    )


def reply(text: str, tokens: list[tuple[str, dict[str, float]]] | None = None) -> httpx.Response:
    content = [
        {
            "token": token,
            "logprob": math.log(alternatives.get(token, 1.0)),
            "top_logprobs": [{"token": t, "logprob": math.log(p)} for t, p in alternatives.items()],
        }
        for token, alternatives in tokens or []
    ]
    choice = {"message": {"role": "assistant", "content": text}, "logprobs": {"content": content}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return httpx.Response(200, json={"choices": [choice], "usage": usage})


def test_generates_in_order_and_counts_tokens() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return reply(json.loads(request.content)["messages"][0]["content"].upper())

    found = model(handler)
    assert isinstance(found, ChatModel)
    chats = [(Message("user", f"text {k}"),) for k in range(20)]
    assert found.generate(chats, max_new_tokens=4) == [f"TEXT {k}" for k in range(20)]
    assert found.usage.prompt_tokens == 140
    assert found.usage.requests == 20


@pytest.mark.parametrize("status", [429, 500, 503])
def test_tries_again_with_growing_jittered_waits(status: int) -> None:
    clock, calls = Clock(), []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return reply("ok") if len(calls) == 3 else httpx.Response(status)

    assert model(handler, clock).generate([ASK], max_new_tokens=4) == ["ok"]
    assert len(clock.slept) == 2
    assert 0 <= clock.slept[0] <= 1.0
    assert 0 <= clock.slept[1] <= 2.0


def test_a_timeout_ends_as_unreachable_after_the_retries() -> None:
    calls = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(1)
        raise httpx.ReadTimeout("slow", request=request)

    with pytest.raises(UnreachableError, match="ReadTimeout"):
        model(handler).generate([ASK], max_new_tokens=4)
    assert len(calls) == 4


def test_a_redirect_is_never_followed() -> None:
    hosts = []

    def handler(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return httpx.Response(307, headers={"location": "http://elsewhere/v1/chat/completions"})

    with pytest.raises(UnreachableError, match="307"):
        model(handler).generate([ASK], max_new_tokens=4)
    assert hosts == ["judge"]


def test_a_refusal_is_bad_input_and_not_tried_again() -> None:
    calls = []

    def handler(_: httpx.Request) -> httpx.Response:
        calls.append(1)
        return httpx.Response(400, text="context too long")

    with pytest.raises(BadInputError, match="context too long"):
        model(handler).generate([ASK], max_new_tokens=4)
    assert len(calls) == 1


def test_the_circuit_opens_and_lets_one_trial_through() -> None:
    clock, calls, up = Clock(), [], []

    def handler(_: httpx.Request) -> httpx.Response:
        calls.append(1)
        return reply("ok") if up else httpx.Response(500)

    found = model(handler, clock, max_retries=0, max_failures=2, pause_s=10.0)
    for _ in range(2):
        with pytest.raises(UnreachableError, match="500"):
            found.generate([ASK], max_new_tokens=1)
    with pytest.raises(UnreachableError, match="left alone"):
        found.generate([ASK], max_new_tokens=1)
    assert len(calls) == 2
    clock.now += 11
    up.append(True)
    assert found.generate([ASK], max_new_tokens=1) == ["ok"]
    assert found.generate([ASK], max_new_tokens=1) == ["ok"]


@pytest.mark.parametrize("body", [b"not json", b"{}", b'{"choices": []}', b'{"choices": [{}]}'])
def test_a_reply_that_is_no_completion_is_unreachable(body: bytes) -> None:
    found = model(lambda _: httpx.Response(200, content=body))
    with pytest.raises(UnreachableError):
        found.generate([ASK], max_new_tokens=1)


def test_only_http_urls() -> None:
    with pytest.raises(BadInputError):
        OpenAIModel("file:///etc/passwd", "m")


IDS = [
    "contradicts_facts",
    "contradicts_knowledge",
    "false_claim",
    "withholds",
    "cannot_know",
    "not_asserted",
]


def judged(p_yes: float) -> httpx.Response:
    tokens: list[tuple[str, dict[str, float]]] = [("{", {"{": 1.0})]
    for name in IDS:
        tokens += [
            (f'"{name}"', {f'"{name}"': 1.0}),
            (": ", {": ": 1.0}),
            ('"', {'"': 1.0}),
            ("yes", {"yes": p_yes, "no": 1 - p_yes}),
            ('", ', {'", ': 1.0}),
        ]
    return reply(json.dumps(dict.fromkeys(IDS, "yes")), tokens)


TRANSCRIPT = Transcript(id="a", messages=(*ASK, Message("assistant", "No.")))


def test_the_judge_reads_p_from_the_value_tokens() -> None:
    probe = JudgeProbe(ServerJudge(model(lambda _: judged(0.8))))
    (found,) = probe.measure([TRANSCRIPT])
    assert found.p_lie == pytest.approx(0.8)
    assert found.p_evasion == pytest.approx(0.8)
    assert found.answers == pytest.approx(dict.fromkeys(IDS, 0.8))
    assert found.tokens == 10


@pytest.mark.parametrize(
    "text",
    [
        "",
        "honest",
        "[]",
        '{"contradicts_facts": "no"}',
        '"yes"',
        "null",
        json.dumps(dict.fromkeys(IDS, "perhaps")),
    ],
)
def test_a_broken_verdict_is_an_error_and_never_honest(text: str) -> None:
    probe = JudgeProbe(ServerJudge(model(lambda _: reply(text))))
    (found,) = probe.measure([TRANSCRIPT])
    assert found.error
    assert found.p_lie is None


def test_a_dead_judge_is_an_error_of_each_transcript() -> None:
    probe = JudgeProbe(ServerJudge(model(lambda _: httpx.Response(401, text="who are you"))))
    found = probe.measure([TRANSCRIPT, TRANSCRIPT])
    assert [bool(one.error) for one in found] == [True, True]
