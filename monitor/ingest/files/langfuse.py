"""Langfuse: traces, observations and scores, as its API and its exports to files have them.

Source: Langfuse's public API reference (`/api/public/traces`, `/observations`, `/scores`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.ingest.files.telling import Told, from_text, said, span
from monitor.ingest.otlp.parts import ARGUMENTS, NAME, RESULT, TOOL

_OPERATIONS = {"GENERATION": "chat", "TOOL": TOOL, "AGENT": "invoke_agent"}
_PEOPLE = frozenset({"ANNOTATION", "API"})
_MESSAGES = ("messages", "input", "output", "content")


def told(row: Mapping[str, Any], assistant: str) -> Iterator[Told]:
    """What one row holds: a trace with its observations and scores, an observation, or a score."""
    if "dataType" in row or "scoreName" in row or ("value" in row and "source" in row):
        yield from _score(row, assistant)
        return
    if row.get("type") and ("traceId" in row or "trace_id" in row):
        yield _observation(row, {}, assistant)
        return
    for one in _objects(row.get("observations")):
        yield _observation({"traceId": row.get("id"), **one}, row, assistant)
    for one in _objects(row.get("scores")):
        yield from _score({"traceId": row.get("id"), **one}, assistant)


def _observation(row: Mapping[str, Any], trace: Mapping[str, Any], assistant: str) -> Told:
    kind = str(row.get("type")).upper()
    attributes = {
        "gen_ai.operation.name": _OPERATIONS.get(kind, "chain"),
        "service.name": assistant,
        "gen_ai.request.model": row.get("model") or row.get("providedModelName"),
        "user.id": row.get("userId") or trace.get("userId"),
        "gen_ai.conversation.id": row.get("sessionId") or trace.get("sessionId"),
        "candor.segment": row.get("environment") or trace.get("environment"),
    }
    given, got = from_text(row.get("input")), from_text(row.get("output"))
    if kind == "GENERATION":
        attributes["gen_ai.input.messages"] = messages_of(given, "user")
        attributes["gen_ai.output.messages"] = messages_of(got, "assistant")
        if isinstance(given, dict):
            attributes["gen_ai.tool.definitions"] = given.get("tools")
    elif kind == "TOOL":
        attributes |= {NAME: row.get("name"), ARGUMENTS: given, RESULT: got}
    failed = row.get("level") == "ERROR"
    return span(
        (row.get("traceId") or row.get("trace_id"), row.get("id"), row.get("parentObservationId")),
        (row.get("startTime"), row.get("endTime")),
        attributes,
        name=row.get("name"),
        failed=str(row.get("statusMessage") or "") if failed else None,
    )


def messages_of(value: Any, role: str) -> Any:
    """Messages as a generation has them: a list, an object around it, one message, or a text."""
    if isinstance(value, dict) and "role" not in value:
        value = next((value[name] for name in _MESSAGES if value.get(name)), None)
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    return [value] if isinstance(value, dict) else value


def _score(row: Mapping[str, Any], assistant: str) -> Iterator[Told]:
    if str(row.get("source")).upper() not in _PEOPLE:
        return
    value = row.get("value")
    if row.get("dataType") == "BOOLEAN" and value in (0, 1):
        value = bool(value)
    yield said(
        name=row.get("name") or row.get("scoreName"),
        about=row.get("observationId") or row.get("traceId"),
        user=row.get("authorUserId") or row.get("userId"),
        at=row.get("timestamp") or row.get("createdAt"),
        opinion_of=(value, row.get("stringValue") or row.get("value")),
        text=row.get("comment"),
        own_id=row.get("id"),
        assistant=assistant,
    )


def _objects(value: Any) -> list[dict[str, Any]]:
    value = from_text(value)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
