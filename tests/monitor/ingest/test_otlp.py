"""GenAI spans of an OpenTelemetry Collector become responses like any other."""

from __future__ import annotations

import json
from typing import Any

from evidence import Response, pseudonym
from monitor.ingest import DeadLetter, DeadLetterReason, decode_responses
from monitor.ingest.options import IngestOptions

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


def decode(raw: bytes) -> list[Response | DeadLetter]:
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
