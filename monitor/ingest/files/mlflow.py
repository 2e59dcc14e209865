"""MLflow: traces of version 3 as `Trace.to_json` and the tracking server's API have them, with their assessments.

Source: MLflow's documentation of traces (`info`, `data.spans`) and assessments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.ingest.files.langfuse import messages_of
from monitor.ingest.files.telling import Told, from_text, said, span
from monitor.ingest.otlp.parts import ARGUMENTS, NAME, RESULT, TOOL

_OPERATIONS = {"CHAT_MODEL": "chat", "LLM": "chat", "TOOL": TOOL, "AGENT": "invoke_agent"}


def told(row: Mapping[str, Any], assistant: str) -> Iterator[Told]:
    """What one row holds: a trace with its spans and assessments, or an assessment."""
    info, data = (from_text(row.get(key)) for key in ("info", "data"))
    info = info if isinstance(info, dict) else row
    spans = from_text(data.get("spans")) if isinstance(data, dict) else from_text(row.get("spans"))
    about = info.get("trace_metadata")
    shared = about if isinstance(about, dict) else {}
    for one in spans if isinstance(spans, list) else ():
        if isinstance(one, dict):
            yield _span(one, shared, assistant)
    assessments = from_text(info.get("assessments"))
    given = assessments if isinstance(assessments, list) else [row] if "source" in row else []
    for one in given:
        if isinstance(one, dict):
            yield from _assessment({"trace_id": info.get("trace_id"), **one}, assistant)


def _span(one: Mapping[str, Any], shared: Mapping[str, Any], assistant: str) -> Told:
    raw = one.get("attributes")
    given = {key: from_text(value) for key, value in raw.items()} if isinstance(raw, dict) else {}
    kind = str(given.get("mlflow.spanType") or one.get("span_type")).upper()
    asked, got = given.get("mlflow.spanInputs"), given.get("mlflow.spanOutputs")
    inner = asked if isinstance(asked, dict) else {}
    attributes = {
        "gen_ai.operation.name": _OPERATIONS.get(kind, "chain"),
        "service.name": assistant,
        "gen_ai.request.model": inner.get("model")
        or given.get("mlflow.llm.model")
        or (got.get("model") if isinstance(got, dict) else None),
        "user.id": shared.get("mlflow.trace.user"),
        "gen_ai.conversation.id": shared.get("mlflow.trace.session"),
    }
    if _OPERATIONS.get(kind) == "chat":
        attributes["gen_ai.input.messages"] = messages_of(asked, "user")
        attributes["gen_ai.output.messages"] = _answer(got)
        attributes["gen_ai.tool.definitions"] = given.get("mlflow.chat.tools") or inner.get("tools")
    elif kind == "TOOL":
        attributes |= {NAME: one.get("name"), ARGUMENTS: asked, RESULT: got}
    status = one.get("status")
    code = status.get("code") if isinstance(status, dict) else one.get("status_code")
    failed = str(code).upper() in {"2", "ERROR", "STATUS_CODE_ERROR"}
    message = status.get("message") if isinstance(status, dict) else one.get("status_message")
    return span(
        (
            one.get("trace_id"),
            one.get("span_id"),
            one.get("parent_span_id") or one.get("parent_id"),
        ),
        (
            one.get("start_time_unix_nano") or one.get("start_time"),
            one.get("end_time_unix_nano") or one.get("end_time"),
        ),
        attributes,
        name=one.get("name"),
        failed=str(message or "") if failed else None,
    )


def _answer(got: Any) -> Any:
    """The choices of an API's answer, or messages."""
    choices = got.get("choices") if isinstance(got, dict) else None
    if isinstance(choices, list):
        return [one["message"] for one in choices if isinstance(one, dict) and "message" in one]
    return messages_of(got, "assistant")


def _assessment(row: Mapping[str, Any], assistant: str) -> Iterator[Told]:
    source = row.get("source")
    kind = source.get("source_type") if isinstance(source, dict) else None
    value = row.get("feedback")
    if str(kind).upper() != "HUMAN" or not isinstance(value, dict):
        return
    score = value.get("value")
    yield said(
        name=row.get("assessment_name") or row.get("name"),
        about=row.get("span_id") or row.get("trace_id"),
        user=source.get("source_id") if isinstance(source, dict) else None,
        at=row.get("create_time") or row.get("create_time_ms"),
        opinion_of=(score, score),
        text=row.get("rationale"),
        own_id=row.get("assessment_id"),
        assistant=assistant,
    )
