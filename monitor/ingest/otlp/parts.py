"""A span of a tool or an agent as a record of a part of a turn.

Source: the semantic conventions for generative AI (`execute_tool`, `invoke_agent`, `invoke_workflow`); OpenInference's
TOOL, AGENT and CHAIN and OpenLLMetry's kinds are told in their names first (`numbered`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from candor_guard.reading.tools import as_text
from evidence.tools import bounded
from monitor.ingest.otlp.attributes import seconds
from monitor.ingest.parts import PART

TOOL = "execute_tool"
AGENTS = frozenset({"invoke_agent", "invoke_workflow"})
LINKS = frozenset({"chain", "workflow", "task", "plan", "create_agent"})
"""Operations of spans that only stand between others."""
NAME, CALL_ID, ARGUMENTS, RESULT = (
    "gen_ai.tool.name",
    "gen_ai.tool.call.id",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
)
ERROR = "error.type"
READ = frozenset({NAME, CALL_ID, ARGUMENTS, RESULT, ERROR})
_MAX_TOOLS_CHARS = 100_000


def read_part_of(
    operation: str, span: Mapping[str, Any], given: Mapping[str, Any], placed: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The record of a tool's, an agent's or a linking span; None for a span of another operation.

    `given` are its attributes, `placed` its place in the trace (`place`).
    """
    if operation == TOOL:
        return {PART: "tool", **placed, **_call(span, given)}
    if operation in AGENTS:
        tools = given.get("gen_ai.tool.definitions")
        kept = tools if tools and len(as_text(tools)) <= _MAX_TOOLS_CHARS else None
        return {PART: "agent", **placed, **({} if kept is None else {"tools": kept})}
    return {PART: "link", **placed} if operation in LINKS else None


def place(
    span: Mapping[str, Any], both: Mapping[str, Any], assistant: Any, user: Any
) -> dict[str, Any]:
    """Where a span stands: its ids, its time, whose it is. `both` are the attributes of span and resource."""
    found = {
        "trace_id": span.get("traceId"),
        "span_id": span.get("spanId"),
        "parent_span_id": span.get("parentSpanId") or None,
        "assistant": assistant,
        "service": both.get("service.name"),
        "user_id": user,
        "started_at_s": seconds(span.get("startTimeUnixNano")),
        "ended_at_s": seconds(span.get("endTimeUnixNano")),
    }
    return {name: value for name, value in found.items() if value is not None}


def has_failed(span: Mapping[str, Any]) -> bool:
    """Whether the span's status is an error."""
    status = span.get("status")
    return isinstance(status, dict) and status.get("code") in (2, "STATUS_CODE_ERROR")


def _call(span: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    name = given.get(NAME)
    if not isinstance(name, str) or not name:
        title = span.get("name")
        name = title.removeprefix(f"{TOOL} ") if isinstance(title, str) else ""
    made = {"name": name, "arguments": bounded(_as_json(given.get(ARGUMENTS)))}
    if isinstance(given.get(CALL_ID), str | int):
        made["call_id"] = str(given[CALL_ID])
    failed, result = has_failed(span) or bool(given.get(ERROR)), given.get(RESULT)
    if result is not None:
        made["result"] = bounded(_as_json(result))
    elif failed:
        made["result"] = bounded(_why(span, given))
    if failed:
        made["status"] = "failed"
    return made


def _why(span: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    status = span.get("status")
    message = status.get("message") if isinstance(status, dict) else None
    told = (given.get(ERROR), message)
    return ": ".join(str(one) for one in told if isinstance(one, str) and one)


def _as_json(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, default=str)
