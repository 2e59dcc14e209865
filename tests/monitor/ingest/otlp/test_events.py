"""Events of generative AI in log records: messages, choices, whole exchanges and users' evaluations."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evidence import Feedback, Response, pseudonym
from monitor.ingest.decode import Decoded
from monitor.ingest.joining import as_part, join
from monitor.ingest.opinions import opinion
from monitor.ingest.otlp import read_chats
from monitor.ingest.parts import Part, encode_part
from monitor.ingest.records import DeadLetter, DeadLetterReason
from tests.monitor.ingest.otlp.test_spans import KEY, NOW_S, attribute, decode, export, said, span

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def event(name: str, body: Any = None, *, after_ms: int = 0, **told: Any) -> dict[str, Any]:
    at = int((NOW_S - 60) * 1e9) + after_ms * 1_000_000
    given = {name.replace("__", "."): value for name, value in told.items()}
    return {
        "timeUnixNano": str(at),
        "eventName": name,
        "traceId": TRACE,
        "spanId": SPAN,
        "attributes": [attribute(key, value) for key, value in given.items()],
        **({} if body is None else {"body": attribute("", body)["value"]}),
    }


def logs(*events: dict[str, Any]) -> bytes:
    resource = {"attributes": [attribute("service.name", "helper")]}
    scope = {"logRecords": list(events)}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}).encode()


CONVERSATION = (
    event("gen_ai.system.message", {"content": "Be kind."}),
    event("gen_ai.user.message", {"content": "Is it in stock?"}, after_ms=1),
    event(
        "gen_ai.assistant.message",
        {"tool_calls": [{"id": "k1", "type": "function", "function": {"name": "stock", "arguments": "{}"}}]},
        after_ms=2,
    ),
    event("gen_ai.tool.message", {"content": "none left", "id": "k1"}, after_ms=3),
    event(
        "gen_ai.choice",
        {"index": 0, "finish_reason": "stop", "message": {"content": "No."}},
        after_ms=900,
    ),
)  # fmt: skip


def together(found: list[Decoded]) -> Response | Part | DeadLetter:
    """The choice joined with all else that was decoded."""
    (choice,) = [one for one in found if isinstance(one, Response)]
    parts = [one for one in found if isinstance(one, Part)]
    return join(choice, [*parts, as_part(choice)]).outcome


@pytest.mark.parametrize("backwards", [False, True])
def test_a_conversation_of_events_is_one_response(backwards: bool) -> None:
    events = CONVERSATION[::-1] if backwards else CONVERSATION
    bare = span(SPAN, gen_ai__input__messages=None, gen_ai__output__messages=None)
    found = [*decode(logs(*events[:2])), *decode(export(bare)), *decode(logs(*events[2:]))]
    made = together(found)
    assert isinstance(made, Response)
    assert said(made) == [
        ("system", "Be kind."),
        ("user", "Is it in stock?"),
        ("assistant", ""),
        ("tool", "none left"),
        ("assistant", "No."),
    ]
    assert made.messages[3].result is not None
    assert made.messages[3].result.call_id == "k1"
    assert (made.model, made.conversation_id) == ("m1", "c1")
    assert made.response_id == f"{TRACE}-{SPAN}"


def test_the_span_gives_the_id_that_feedback_names() -> None:
    bare = span(SPAN, gen_ai__input__messages=None, gen_ai__output__messages=None)
    bare["attributes"].append(attribute("gen_ai.response.id", "chatcmpl-1"))
    second = event("gen_ai.choice", {"index": 1, "message": {"content": "Never."}})
    made = together([*decode(export(bare)), *decode(logs(*CONVERSATION[:2], second))])
    assert isinstance(made, Response)
    assert made.response_id == "chatcmpl-1#1"


def test_a_choice_that_its_span_tells_whole_is_the_repetition() -> None:
    (whole,) = decode(export(span(SPAN)))
    assert isinstance(whole, Response)
    whole.extra["parent_span_id"] = "01"
    made = together([*decode(logs(*CONVERSATION)), as_part(whole)])
    assert isinstance(made, Part)


def test_an_answer_without_its_question_is_refused() -> None:
    made = together(decode(logs(CONVERSATION[-1])))
    assert isinstance(made, DeadLetter)
    assert made.reason is DeadLetterReason.EMPTY_CONVERSATION


def test_parts_that_a_tap_writes_are_read_the_same() -> None:
    parts = [one for one in decode(logs(*CONVERSATION)) if isinstance(one, Part)]
    assert len(parts) == 4
    for part in parts:
        assert decode(encode_part(part)) == [part]


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (event("gen_ai.choice", {"index": 0, "message": {"role": "assistant"}}), "no_content"),
        (event("gen_ai.user.message"), "no_content"),
        (event("db.query"), "other_event"),
        (event("gen_ai.evaluation.result", gen_ai__evaluation__score__value=1.0), "not_a_users"),
    ],
)
def test_what_is_no_record_is_counted(one: dict[str, Any], reason: str) -> None:
    assert read_chats(json.loads(logs(one))).passed_over == {reason: 1}


def test_bodies_as_json_text_and_as_plain_text_are_read() -> None:
    older = event("gen_ai.user.message", gen_ai__event__content='{"content": "Is it?"}')
    plain = event("gen_ai.user.message", "It is.")
    first, second = decode(logs(older, plain))
    assert isinstance(first, Part)
    assert isinstance(second, Part)
    assert (first.content["content"], second.content["content"]) == ("Is it?", "It is.")


def test_an_event_that_belongs_nowhere_is_refused_alone() -> None:
    lost = event("gen_ai.user.message", {"content": "Who?"}) | {"traceId": ""}
    letter, *others = decode(logs(lost, *CONVERSATION[:2]))
    assert isinstance(letter, DeadLetter)
    assert letter.reason is DeadLetterReason.MISSING_FIELD
    assert len(others) == 2


def test_an_evaluation_by_a_user_is_feedback() -> None:
    told = {"user__id": "alice", "gen_ai__response__id": "r1"}
    result = event(
        "gen_ai.evaluation.result",
        gen_ai__evaluation__name="thumb",
        gen_ai__evaluation__score__label="thumbs-down",
        gen_ai__evaluation__score__value=0,
        gen_ai__evaluation__explanation="It is wrong.",
        **told,
    )
    (found,) = decode(logs(result))
    assert isinstance(found, Feedback)
    assert (found.response_id, found.value, found.kind) == ("r1", -1.0, "thumb")
    assert (found.rater, found.text) == (pseudonym("alice", KEY), "It is wrong.")
    (again,) = decode(logs(result))
    assert again == found
    about_span = event("gen_ai.evaluation.result", user__id="a", gen_ai__evaluation__score__value=1)
    (other,) = decode(logs(about_span))
    assert isinstance(other, Feedback)
    assert other.response_id == f"{TRACE}-{SPAN}"


def test_an_evaluation_of_our_own_is_never_feedback() -> None:
    ours = event("gen_ai.evaluation.result", user__id="a", candor__evaluator__version="1")
    assert read_chats(json.loads(logs(ours))).passed_over == {"not_a_users": 1}


def test_an_evaluation_without_a_value_is_refused() -> None:
    stars = event("gen_ai.evaluation.result", user__id="a", gen_ai__evaluation__score__value=4)
    (letter,) = decode(logs(stars))
    assert isinstance(letter, DeadLetter)
    assert letter.reason is DeadLetterReason.WRONG_VALUE


@pytest.mark.parametrize(
    ("score", "label", "value"),
    [(0, "Thumbs Up", 1.0), (False, None, -1.0), (0.25, "meh", 0.25), (None, "meh", None), (7, None, None)],
)  # fmt: skip
def test_what_a_user_says_as_a_value(score: Any, label: Any, value: float | None) -> None:
    assert opinion(score, label) == value
