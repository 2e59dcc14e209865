"""Conversations spread over numbered attributes: OpenInference's and OpenLLMetry's spans."""

from __future__ import annotations

from typing import Any

import pytest

from evidence import Response, ToolCall, pseudonym
from monitor.ingest import DeadLetter, DeadLetterReason
from tests.monitor.ingest.otlp.test_spans import KEY, NOW_S, attribute, decode, export, said

OPEN_INFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "m1",
    "session.id": "c1",
    "user.id": "alice",
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be kind.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.contents.0.message_content.type": "text",
    "llm.input_messages.1.message.contents.0.message_content.text": "Is it in stock?",
    "llm.input_messages.2.message.role": "assistant",
    "llm.input_messages.2.message.tool_calls.0.tool_call.id": "t1",
    "llm.input_messages.2.message.tool_calls.0.tool_call.function.name": "stock",
    "llm.input_messages.2.message.tool_calls.0.tool_call.function.arguments": '{"item":"lamp"}',
    "llm.input_messages.3.message.role": "tool",
    "llm.input_messages.3.message.tool_call_id": "t1",
    "llm.input_messages.3.message.content": "none left",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "No.",
}
OPEN_LLMETRY = {
    "llm.request.type": "chat",
    "gen_ai.request.model": "m1",
    "traceloop.association.properties.session_id": "c1",
    "traceloop.association.properties.user_id": "alice",
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "Be kind.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": "Is it in stock?",
    "gen_ai.prompt.2.role": "assistant",
    "gen_ai.prompt.2.tool_calls.0.id": "t1",
    "gen_ai.prompt.2.tool_calls.0.name": "stock",
    "gen_ai.prompt.2.tool_calls.0.arguments": '{"item":"lamp"}',
    "gen_ai.prompt.3.role": "tool",
    "gen_ai.prompt.3.tool_call_id": "t1",
    "gen_ai.prompt.3.content": "none left",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "No.",
    "gen_ai.completion.0.finish_reason": "stop",
}


def span(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "01",
        "endTimeUnixNano": str(int((NOW_S - 5) * 1e9)),
        "attributes": [attribute(name, value) for name, value in given.items()],
    }


@pytest.mark.parametrize("given", [OPEN_INFERENCE, OPEN_LLMETRY])
def test_a_numbered_conversation_is_read_with_its_tools(given: dict[str, Any]) -> None:
    (found,) = decode(export(span(given)))
    assert isinstance(found, Response)
    assert said(found) == [
        ("system", "Be kind."),
        ("user", "Is it in stock?"),
        ("assistant", ""),
        ("tool", "none left"),
        ("assistant", "No."),
    ]
    assert found.messages[2].tool_calls == (ToolCall("stock", '{"item":"lamp"}', "t1"),)
    told = found.messages[3].result
    assert told is not None
    assert told.call_id == "t1"
    assert (found.model, found.stratum.assistant) == ("m1", "helper")
    assert found.rater == pseudonym("alice", KEY)
    assert "alice" not in repr(found)


def test_messages_stand_in_the_order_of_their_numbers() -> None:
    given = {"openinference.span.kind": "LLM", "llm.model_name": "m1", "session.id": "c1"}
    for number in (11, 2, 10, 0):
        role = "assistant" if number % 2 else "user"
        given[f"llm.input_messages.{number}.message.role"] = role
        given[f"llm.input_messages.{number}.message.content"] = str(number)
    given["llm.output_messages.0.message.role"] = "assistant"
    given["llm.output_messages.0.message.content"] = "done"
    (found,) = decode(export(span(given)))
    assert isinstance(found, Response)
    assert [text for _, text in said(found)] == ["0", "2", "10", "11", "done"]


def test_a_span_with_one_plain_text_each_way_is_read() -> None:
    given = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "m1",
        "input.value": "Is it safe?",
        "output.value": "No.",
        "output.mime_type": "text/plain",
    }
    (found,) = decode(export(span(given)))
    assert isinstance(found, Response)
    assert said(found) == [("user", "Is it safe?"), ("assistant", "No.")]


@pytest.mark.parametrize("kind", ["RETRIEVER", "GUARDRAIL", "EVALUATOR", "EMBEDDING"])
def test_spans_of_other_kinds_make_no_response(kind: str) -> None:
    (letter,) = decode(export(span({**OPEN_INFERENCE, "openinference.span.kind": kind})))
    assert isinstance(letter, DeadLetter)
    assert letter.reason is DeadLetterReason.NO_RESPONSE


def test_the_current_names_go_before_numbered_ones() -> None:
    given = {
        **OPEN_INFERENCE,
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m2",
        "gen_ai.input.messages": '[{"role": "user", "content": "Hi"}]',
        "gen_ai.output.messages": '[{"role": "assistant", "content": "Hello"}]',
    }
    (found,) = decode(export(span(given)))
    assert isinstance(found, Response)
    assert (found.model, said(found)) == ("m2", [("user", "Hi"), ("assistant", "Hello")])


@pytest.mark.parametrize("value", [None, 5, [], {"a": "b"}, ["x"]])
@pytest.mark.parametrize("name", sorted(OPEN_INFERENCE))
def test_no_value_of_an_attribute_ends_anything(name: str, value: Any) -> None:
    found = decode(export(span({**OPEN_INFERENCE, name: value})))
    reasons = {one.reason for one in found if isinstance(one, DeadLetter)}
    assert DeadLetterReason.INTERNAL_ERROR not in reasons
