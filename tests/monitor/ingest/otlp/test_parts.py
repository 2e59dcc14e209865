"""Spans of tools and agents as parts of a turn, in each convention and encoding, whatever they hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from evidence import Response
from monitor.ingest.joining import waits
from monitor.ingest.otlp import read_chats
from monitor.ingest.parts import Part
from tests.monitor.ingest.otlp.test_spans import NOW_S, attribute, decode, export

TRACE = "5b8efff798038103d269b633813fc60c"
GEN_AI = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "send_mail",
    "gen_ai.tool.call.id": "k1",
    "gen_ai.tool.call.arguments": '{"to": "ana"}',
    "gen_ai.tool.call.result": "sent",
}
OPEN_INFERENCE = {
    "openinference.span.kind": "TOOL",
    "tool.name": "send_mail",
    "tool.id": "k1",
    "input.value": '{"to": "ana"}',
    "input.mime_type": "application/json",
    "output.value": "sent",
}
OPEN_LLMETRY = {
    "traceloop.span.kind": "tool",
    "traceloop.entity.name": "send_mail",
    "gen_ai.tool.call.id": "k1",
    "traceloop.entity.input": '{"to": "ana"}',
    "traceloop.entity.output": "sent",
}


def span(told: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE,
        "spanId": "01",
        "parentSpanId": "02",
        "name": "execute_tool send_mail",
        "startTimeUnixNano": str(int((NOW_S - 6) * 1e9)),
        "endTimeUnixNano": str(int((NOW_S - 5) * 1e9)),
        "attributes": [attribute(name, value) for name, value in told.items()],
    } | fields


def part(told: dict[str, Any], **fields: Any) -> Part:
    (found,) = decode(export(span(told, **fields)))
    assert isinstance(found, Part)
    return found


@pytest.mark.parametrize("told", [GEN_AI, OPEN_INFERENCE, OPEN_LLMETRY])
def test_a_call_of_a_tool_is_a_part_of_its_turn(told: dict[str, Any]) -> None:
    found = part(told)
    assert (found.kind, found.name, found.call_id) == ("tool", "send_mail", "k1")
    assert (found.arguments, found.result, found.status) == ('{"to": "ana"}', "sent", "")
    assert (found.trace_id, found.span_id, found.parent_id) == (TRACE, "01", "02")
    assert (found.service, found.assistant) == ("helper", "helper")
    assert found.ended_at_s == NOW_S - 5


@pytest.mark.parametrize(
    ("fields", "more", "result"),
    [
        ({"status": {"code": 2, "message": "bounced"}}, {}, "bounced"),
        ({}, {"error.type": "Timeout"}, "Timeout"),
        ({"status": {"code": 2}}, {"gen_ai.tool.call.result": "550"}, "550"),
    ],
)
def test_a_call_that_failed_says_so(
    fields: dict[str, Any], more: dict[str, Any], result: str
) -> None:
    bare = {k: v for k, v in GEN_AI.items() if k != "gen_ai.tool.call.result"}
    found = part(bare | more, **fields)
    assert (found.status, found.result) == ("failed", result)


@pytest.mark.parametrize(
    "arguments", ["no JSON {", {"to": ["ana", 1.5]}, ["ana"], 7, True, None, ""]
)
def test_arguments_of_any_shape_are_kept_as_text(arguments: Any) -> None:
    given = {k: v for k, v in GEN_AI.items() if k != "gen_ai.tool.call.arguments"}
    found = part(given if arguments is None else given | {"gen_ai.tool.call.arguments": arguments})
    assert isinstance(found.arguments, str)
    if isinstance(arguments, dict | list):
        assert "ana" in found.arguments


def test_a_span_that_names_no_tool_has_that_of_its_title() -> None:
    assert part({"gen_ai.operation.name": "execute_tool"}).name == "send_mail"


@pytest.mark.parametrize("missing", [{"traceId": ""}, {"spanId": None}])
def test_a_call_without_a_place_in_a_trace_is_counted(missing: dict[str, Any]) -> None:
    spans = read_chats(json.loads(export(span(GEN_AI, **missing))))
    assert spans.passed_over == {"no_trace": 1}


def test_links_between_spans_are_kept_and_other_operations_counted() -> None:
    assert part({"openinference.span.kind": "CHAIN"}).kind == "link"
    spans = read_chats(json.loads(export(span({"gen_ai.operation.name": "embeddings"}))))
    assert spans.passed_over == {"other_operation": 1}


def message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


AGENT = {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": "planner",
    "gen_ai.request.model": "m1",
    "gen_ai.input.messages": json.dumps([message("user", "Is it?")]),
    "gen_ai.output.messages": json.dumps([message("assistant", "No.")]),
}


def test_an_agent_that_tells_question_and_answer_may_be_a_response() -> None:
    (found,) = decode(export(span(AGENT, parentSpanId="")))
    assert isinstance(found, Response)
    assert (found.stratum.assistant, found.extra["span_kind"]) == ("planner", "agent")
    assert waits(found)


@pytest.mark.parametrize(
    "without",
    ["gen_ai.request.model", "gen_ai.input.messages", "gen_ai.output.messages"],
)
def test_any_other_agent_is_a_part(without: str) -> None:
    found = part({k: v for k, v in AGENT.items() if k != without})
    assert (found.kind, found.assistant) == ("agent", "planner")
    assert part(AGENT, status={"code": 2}).kind == "agent"
    assert part(AGENT | {"gen_ai.output.messages": '[{"role'}).kind == "agent"


def test_ids_in_protobuf_are_those_of_json() -> None:
    request = ExportTraceServiceRequest()
    made = request.resource_spans.add().scope_spans.add().spans.add()
    made.trace_id, made.span_id = bytes.fromhex(TRACE), bytes.fromhex("eee19b7ec3c1b174")
    made.parent_span_id = bytes.fromhex("aaa19b7ec3c1b174")
    made.attributes.add(key="gen_ai.operation.name").value.string_value = "execute_tool"
    (found,) = decode(request.SerializeToString())
    assert isinstance(found, Part)
    assert (found.span_id, found.parent_id) == ("eee19b7ec3c1b174", "aaa19b7ec3c1b174")
