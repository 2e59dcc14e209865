"""Valid records and exports, in the shapes that producers write: what is bent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from evidence import CANARY_ASSISTANT, Message, Purpose, Response, Stakes, Stratum
from monitor.ingest.encode import encode_response
from monitor.ingest.marks import marked
from tests.fuzz.choices import Choices
from tests.fuzz.mutation import bent_document

NOW_S = 1_790_000_000.0
KEY = b"a key of the fuzz, 32 bytes long"
USER = "user-c0ffee"
RESPONSE: dict[str, Any] = {
    "response_id": "r1",
    "assistant": "shop",
    "model": "m1",
    "conversation_id": "c1",
    "user_id": USER,
    "created_at": "2026-09-21T12:00:00Z",
    "messages": [
        {"role": "system", "content": "The blue lamp is sold out."},
        {"role": "user", "content": "Is it in stock?"},
        {"role": "assistant", "content": "No."},
    ],
    "stakes": "high",
    "segment": "billing",
    "trace": {"user": USER, "span": [USER, 1], "score": 0.5},
}
TOOLS = [
    {"role": "user", "content": [{"type": "input_text", "text": "Is it?"}, {"type": "image_url"}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "t", "function": {"name": "stock", "arguments": '{"a": 1}'}}],
    },
    {"role": "tool", "tool_call_id": "t", "content": '{"pieces": 0}'},
    {"role": "assistant", "content": "<think>None left.</think>No.", "reasoning": "none"},
]
ANTHROPIC = [
    {"role": "user", "content": [{"type": "text", "text": "Is it?"}]},
    {"role": "assistant", "content": [{"type": "tool_use", "name": "stock", "input": {"a": 1}}]},
    {
        "role": "user",
        "content": [{"type": "tool_result", "content": [{"type": "text", "text": "none"}]}],
    },
    {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "none"}, {"type": "text", "text": "No."}],
    },
]
STEP = [
    {"role": "user", "content": "Is it?"},
    {"role": "assistant", "content": "", "function_call": {"name": "stock", "arguments": "{}"}},
]
REFUSAL = [{"role": "assistant", "content": None, "refusal": "I can not say."}]
CANARY = marked(
    Response(
        response_id="canary-1",
        stratum=Stratum(CANARY_ASSISTANT, stakes=Stakes.HIGH),
        model="canary",
        conversation_id="canary-1",
        rater="0" * 32,
        created_at_s=NOW_S,
        messages=(Message("user", "Is it?"), Message("assistant", "No.")),
        purpose=Purpose.CANARY,
    ),
    KEY,
)
RESPONSES = [
    RESPONSE,
    {**RESPONSE, "messages": TOOLS},
    {**RESPONSE, "messages": ANTHROPIC, "system": "Be brief."},
    {**RESPONSE, "messages": STEP, "purpose": "canary"},
    {**RESPONSE, "messages": REFUSAL, "assistant": "candor-canary"},
    json.loads(encode_response(CANARY)),
]
FEEDBACK: dict[str, Any] = {
    "feedback_id": "f1",
    "assistant": "shop",
    "response_id": "r1",
    "user_id": USER,
    "created_at": "2026-09-21T12:01:00Z",
    "value": -0.5,
    "kind": "thumb",
    "text": "not useful",
    "trace": {"email": USER},
}


def any_value(value: Any) -> dict[str, Any]:
    """OTLP's AnyValue."""
    if isinstance(value, dict):
        pairs = [{"key": k, "value": any_value(v)} for k, v in value.items()]
        return {"kvlistValue": {"values": pairs}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(v) for v in value]}}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {} if value is None else {"stringValue": value}


ATTRIBUTES: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m1",
    "gen_ai.conversation.id": "c1",
    "user.id": USER,
    "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
    "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "Is it?"}]}],
    "gen_ai.output.messages": [
        {"role": "assistant", "parts": [{"type": "text", "content": "No."}]}
    ],
}


def span(attributes: Mapping[str, Any] = ATTRIBUTES) -> dict[str, Any]:
    """A chat span."""
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": "chat m1",
        "endTimeUnixNano": str(int(NOW_S * 1e9)),
        "attributes": [{"key": k, "value": any_value(v)} for k, v in attributes.items()],
    }


def export(*spans: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}


_CALL = {"type": "tool_call", "id": "c", "name": "stock", "arguments": {"item": "lamp"}}
_RESULT = {"type": "tool_call_response", "id": "c", "response": {"pieces": 0}}
AS_TEXT = ATTRIBUTES | {
    "gen_ai.input.messages": json.dumps([{"role": "user", "content": "Is it?"}]),
    "gen_ai.output.messages": json.dumps([{"role": "model", "content": "No."}]),
    "gen_ai.system_instructions": "Be brief.",
}
WITH_TOOLS = ATTRIBUTES | {
    "gen_ai.input.messages": [
        {"role": "user", "parts": [{"type": "text", "content": "Is it?"}]},
        {"role": "assistant", "parts": [_CALL]},
        {"role": "tool", "parts": [_RESULT]},
    ],
    "gen_ai.output.messages": [
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "none"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "No."}]},
    ],
    "gen_ai.response.id": "o1",
}
NUMBERED = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "m1",
    "session.id": "c1",
    "user.id": USER,
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": "Is it?",
    "llm.input_messages.1.message.role": "assistant",
    "llm.input_messages.1.message.tool_calls.0.tool_call.function.name": "stock",
    "llm.input_messages.2.message.role": "tool",
    "llm.input_messages.2.message.contents.0.message_content.text": "none",
    "gen_ai.completion.0.content": "No.",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "No.",
}
EMBEDDING = ATTRIBUTES | {"gen_ai.operation.name": "embeddings"}
TOOL_SPAN = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "stock",
    "gen_ai.tool.call.id": "c",
    "gen_ai.tool.call.arguments": {"item": "lamp"},
    "gen_ai.tool.call.result": {"pieces": 0},
    "user.id": USER,
}
AGENT_SPAN = ATTRIBUTES | {"gen_ai.operation.name": "invoke_agent"}
BARE_SPAN = {k: v for k, v in ATTRIBUTES.items() if not k.endswith("messages")}
MESSAGE_EVENT = {"content": "Is it?", "role": "user", "id": "c"}
CHOICE_EVENT = {"index": 0, "message": {"role": "assistant", "content": "No."}}
OPINION = {
    "user.id": USER,
    "gen_ai.evaluation.name": "thumb",
    "gen_ai.evaluation.score.value": 1.0,
    "gen_ai.evaluation.score.label": "thumbs_up",
}
EXPORTS = [
    export(span()),
    export(span(AS_TEXT), span(EMBEDDING)),
    export(span(WITH_TOOLS)),
    export(span(TOOL_SPAN), span(AGENT_SPAN), span(BARE_SPAN)),
]


def bent_export(choices: Choices) -> dict[str, Any]:
    """An export whose spans have attributes that were bent before they were written as OTLP's."""
    spans = []
    for _ in range(1 + choices.index(3)):
        attributes = bent_document(
            choices.pick(
                (ATTRIBUTES, AS_TEXT, WITH_TOOLS, NUMBERED, TOOL_SPAN, AGENT_SPAN, BARE_SPAN)
            ),
            choices,
        )
        given = attributes if isinstance(attributes, dict) else {}
        spans.append(span({k: json.dumps(v) if choices.chance(4) else v for k, v in given.items()}))
    if choices.chance(4):
        return bent_events(choices)
    return as_events(*spans) if choices.chance(4) else export(*spans)


def bent_events(choices: Choices) -> dict[str, Any]:
    """Events of one message each, and opinions, whose bodies and attributes were bent."""
    events = []
    for _ in range(1 + choices.index(3)):
        name, body, told = choices.pick(
            (
                ("gen_ai.user.message", MESSAGE_EVENT, {}),
                ("gen_ai.tool.message", MESSAGE_EVENT, {}),
                ("gen_ai.choice", CHOICE_EVENT, {}),
                ("gen_ai.evaluation.result", None, OPINION),
            )
        )
        bent = bent_document(told, choices) if told else {}
        one = span(bent if isinstance(bent, dict) else {}) | {"eventName": name}
        if body is not None:
            text = json.dumps(bent_document(body, choices))
            one["body"] = {"stringValue": text}
        events.append(one | {"timeUnixNano": one.pop("endTimeUnixNano")})
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": events}]}]}


def as_events(*spans: dict[str, Any]) -> dict[str, Any]:
    """The spans as log records that tell whole exchanges."""
    name = "gen_ai.client.inference.operation.details"
    events = [{**one, "eventName": name, "timeUnixNano": one["endTimeUnixNano"]} for one in spans]
    for one in events:
        del one["endTimeUnixNano"], one["name"]
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": events}]}]}


def in_protobuf(document: dict[str, Any]) -> bytes:
    """An export as protobuf, empty where it cannot be written so."""
    kind = ExportLogsServiceRequest if "resourceLogs" in document else ExportTraceServiceRequest
    try:
        request = ParseDict(document, kind(), ignore_unknown_fields=True)
    except Exception:  # the parser itself breaks on some, which no sender can send
        return b""
    return bytes(request.SerializeToString())
