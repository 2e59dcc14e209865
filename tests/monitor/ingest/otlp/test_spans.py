"""GenAI spans of an OpenTelemetry Collector become responses like any other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evidence import Response, pseudonym
from monitor.ingest import DeadLetter, DeadLetterReason, decode_responses
from monitor.ingest.assembling import settled
from monitor.ingest.decode import Decoded
from monitor.ingest.options import IngestOptions
from monitor.ingest.otlp import read_chats
from monitor.ingest.parts import Part
from monitor.score.scorer import transcript_of

KEY = b"k" * 32
NOW_S = 1_790_000_000.0


def attribute(key: str, value: Any) -> dict[str, Any]:
    return {"key": key, "value": any_value(value)}


def any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [attribute(k, v) for k, v in value.items()]}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(v) for v in value]}}
    return {"stringValue": value}


def message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def span(number: str, **attributes: Any) -> dict[str, Any]:
    given = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m1",
        "gen_ai.conversation.id": "c1",
        "gen_ai.input.messages": [message("user", "Is it safe?")],
        "gen_ai.output.messages": [message("assistant", "No.")],
    } | {name.replace("__", "."): value for name, value in attributes.items()}
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": number,
        "endTimeUnixNano": str(int((NOW_S - 5) * 1e9)),
        "attributes": [attribute(k, v) for k, v in given.items() if v is not None],
    }


def export(*spans: dict[str, Any]) -> bytes:
    resource = {"attributes": [attribute("service.name", "helper")]}
    scope = {"scope": {"name": "openai"}, "spans": list(spans)}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}).encode()


def decode(raw: bytes) -> list[Decoded]:
    return decode_responses(raw, options=IngestOptions(), key=KEY, now_s=NOW_S)


def test_each_chat_span_is_a_response() -> None:
    text = json.dumps(
        [message("user", "Hi"), message("assistant", "Hello"), message("user", "So?")]
    )
    found = decode(
        export(
            span(
                "01",
                user__id="alice",
                gen_ai__system_instructions=[{"type": "text", "content": "Be kind."}],
            ),
            span("02", gen_ai__input__messages=text, candor__stakes="high"),
            span("03", gen_ai__operation__name="embeddings"),
        )
    )
    one, two = found
    assert isinstance(one, Response)
    assert isinstance(two, Response)
    assert one.response_id == "5b8efff798038103d269b633813fc60c-01"
    assert [(m.role, m.content) for m in one.messages] == [
        ("system", "Be kind."),
        ("user", "Is it safe?"),
        ("assistant", "No."),
    ]
    assert one.rater == pseudonym("alice", KEY)
    assert one.stratum.assistant == "helper"
    assert one.created_at_s == NOW_S - 5
    assert one.extra == {"trace_id": "5b8efff798038103d269b633813fc60c", "span_id": "01"}
    assert [m.content for m in two.messages] == ["Hi", "Hello", "So?", "No."]
    assert two.stratum.key == "helper/other/high"
    assert two.rater == pseudonym("conversation c1", KEY)


def test_a_span_that_lacks_something_is_refused_with_the_reason() -> None:
    found = decode(
        export(
            span("01", gen_ai__request__model=None),
            span("02", gen_ai__output__messages=None),
            span("03", gen_ai__output__messages="not json", gen_ai__input__messages=None),
        )
    )
    assert [one.reason for one in found if isinstance(one, DeadLetter)] == [
        DeadLetterReason.MISSING_FIELD,
        DeadLetterReason.ENDS_WITH_USER,
        DeadLetterReason.EMPTY_CONVERSATION,
    ]


def test_a_trace_without_chat_is_accounted_for() -> None:
    for raw in (
        export(),
        export(span("1", gen_ai__operation__name=None)),
        b'{"resourceSpans": [3]}',
    ):
        (letter,) = decode(raw)
        assert isinstance(letter, DeadLetter)
        assert letter.reason is DeadLetterReason.NO_RESPONSE


def test_other_records_are_decoded_one_by_one() -> None:
    (letter,) = decode(b"[]")
    assert isinstance(letter, DeadLetter)
    assert letter.reason is DeadLetterReason.NOT_AN_OBJECT


def accepted(found: list[Decoded]) -> list[Response]:
    return [one for one in found if isinstance(one, Response)]


def said(response: Response) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in response.messages]


@pytest.mark.parametrize(
    "told",
    [
        "Be kind.",
        '["Be kind."]',
        '[{"role": "system", "parts": [{"type": "text", "content": "Be kind."}]}]',
        '[{"type": "text", "content": "Be kind."}]',
        '{"content": "Be kind."}',
        [{"type": "text", "content": "Be kind."}],
        ["Be kind."],
    ],
)
def test_system_instructions_are_read_in_every_shape(told: Any) -> None:
    (found,) = accepted(decode(export(span("01", gen_ai__system_instructions=told))))
    assert said(found) == [("system", "Be kind."), ("user", "Is it safe?"), ("assistant", "No.")]


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (
            '[{"role": "user", "content": "Is it safe?"}]',
            '[{"role": "assistant", "content": "No."}]',
        ),
        ([{"role": "user", "content": "Is it safe?"}], [{"role": "ai", "content": "No."}]),
        ("Is it safe?", "No."),
        ('["Is it safe?"]', '{"role": "Assistant", "parts": [{"text": "No."}]}'),
        ('{"role": "human", "content": "Is it safe?"}', '[{"parts": [{"content": "No."}]}]'),
    ],
)
def test_messages_are_read_in_every_shape(given: Any, answer: Any) -> None:
    made = span("01", gen_ai__input__messages=given, gen_ai__output__messages=answer)
    (found,) = accepted(decode(export(made)))
    assert said(found) == [("user", "Is it safe?"), ("assistant", "No.")]


@pytest.mark.parametrize("name", ["gen_ai__input__messages", "gen_ai__system_instructions"])
@pytest.mark.parametrize(
    "cut",
    ['[{"role": "user", "parts": [{"type": "text", "cont', '["Be ki', '{"role', '[{"a": "\ud83d"'],
)
def test_context_that_was_cut_refuses_its_span_alone(name: str, cut: str) -> None:
    found = decode(export(span("01", **{name: cut}), span("02")))
    assert len(accepted(found)) == 1
    (letter,) = [one for one in found if isinstance(one, DeadLetter)]
    assert letter.reason is DeadLetterReason.UNREAD_CONTENT
    assert name.replace("__", ".") in letter.detail


def test_half_an_emoji_in_json_text_is_repaired() -> None:
    for text in (
        '[{"role": "user", "content": "Is it \\ud83d"}]',
        '[{"role": "user", "content": "Is it \ud83d"}]',
    ):
        (found,) = accepted(decode(export(span("01", gen_ai__input__messages=text))))
        assert found.messages[0].content == "Is it \ufffd"


def test_tools_are_part_of_what_the_answer_is_judged_by() -> None:
    call = {"type": "tool_call", "id": "c", "name": "stock", "arguments": {"item": "lamp"}}
    result = {"type": "tool_call_response", "id": "c", "response": {"pieces": "none"}}
    conversation = [
        message("user", "Is it in stock?"),
        {"role": "assistant", "parts": [call]},
        {"role": "tool", "parts": [result]},
    ]
    (found,) = accepted(decode(export(span("01", gen_ai__input__messages=conversation))))
    assert said(found)[2] == ("tool", '{"pieces":"none"}')
    told = transcript_of(found).messages
    assert told[1].content == '[called stock with {"item":"lamp"}]'
    assert told[-1] == found.messages[-1]


def test_reasoning_is_no_answer_and_a_refusal_is_one() -> None:
    thought = {"type": "reasoning", "content": "They lost it."}
    with_answer = [{"role": "assistant", "parts": [thought, {"type": "text", "content": "No."}]}]
    refusal = [{"role": "assistant", "parts": [{"type": "refusal", "content": "I can not say."}]}]
    found = decode(
        export(
            span("01", gen_ai__output__messages=with_answer),
            span("02", gen_ai__output__messages=refusal),
            span("03", gen_ai__output__messages=[{"role": "assistant", "parts": [thought]}]),
        )
    )
    one, two = accepted(found)
    assert (one.messages[-1].content, one.messages[-1].reasoning) == ("No.", "They lost it.")
    assert two.messages[-1].content == "I can not say."
    assert [x.reason for x in found if isinstance(x, DeadLetter)] == [
        DeadLetterReason.EMPTY_RESPONSE
    ]


def test_each_choice_is_a_response_of_its_own() -> None:
    choices = [message("assistant", "No."), message("assistant", "Yes.")]
    made = span("01", gen_ai__output__messages=choices, gen_ai__response__id="o1")
    one, two = accepted(decode(export(made)))
    assert [one.response_id, two.response_id] == ["o1", "o1#1"]
    assert said(one) == [("user", "Is it safe?"), ("assistant", "No.")]
    assert said(two) == [("user", "Is it safe?"), ("assistant", "Yes.")]


def test_a_numeric_user_is_a_user_and_spans_without_ids_are_refused() -> None:
    made = span("01")
    made["attributes"].append({"key": "user.id", "value": {"intValue": 4711}})
    (found,) = accepted(decode(export(made)))
    assert found.rater == pseudonym("4711", KEY)
    nameless = span("01")
    del nameless["spanId"]
    (letter,) = decode(export(nameless))
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, "response_id" in letter.detail) == (DeadLetterReason.MISSING_FIELD, True)


@pytest.mark.parametrize(
    "value",
    [
        {"kvlistValue": {"values": []}},
        {"arrayValue": {"values": [{"stringValue": "chat"}]}},
        {"arrayValue": 5},
        {"intValue": "1"},
        None,
        "chat",
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        *("gen_ai.operation.name", "gen_ai.response.id", "gen_ai.conversation.id", "user.id"),
        *("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"),
        *("gen_ai.request.model", "candor.stakes", "candor.segment"),
    ],
)
def test_no_value_of_an_attribute_spoils_another_span(name: str, value: Any) -> None:
    bad = span("01", **{name.replace(".", "__"): None})
    bad["attributes"].append({"key": name, "value": value})
    found = decode(export(bad, span("02")))
    assert "02" in {one.response_id[-2:] for one in accepted(found)}
    reasons = {one.reason for one in found if isinstance(one, DeadLetter)}
    assert DeadLetterReason.INTERNAL_ERROR not in reasons


def test_what_is_passed_over_is_counted_by_its_reason() -> None:
    failed = span("01", gen_ai__output__messages=None) | {"status": {"code": 2}}
    indexed = span("02", gen_ai__operation__name=None, llm__model_name="m")
    plain = {"spanId": "03", "attributes": [attribute("http.route", "/")]}
    record = json.loads(
        export(failed, indexed, plain, span("04", gen_ai__operation__name="embeddings"))
    )
    spans = read_chats(record)
    assert spans.found == []
    assert spans.passed_over == {
        "failed_call": 1,
        "other_convention": 1,
        "no_operation": 1,
        "other_operation": 1,
    }


def test_a_span_without_content_says_why_it_may_be_so() -> None:
    bare = span("01", gen_ai__input__messages=None, gen_ai__output__messages=None)
    (found,) = decode(export(bare))
    assert isinstance(found, Part)
    assert (found.kind, found.model) == ("bare", "m1")
    letter = settled(found, [found])
    assert isinstance(letter, DeadLetter)
    assert letter.reason is DeadLetterReason.EMPTY_CONVERSATION
    assert "capture of content" in letter.detail
