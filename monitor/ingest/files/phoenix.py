"""Phoenix: spans and annotations of its REST API, and the columns of its data frames.

Source: Phoenix' OpenAPI (`/v1/projects/{project}/spans`, `/span_annotations`) and OpenInference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.ingest.files.telling import Told, flat, from_text, said, span
from monitor.ingest.otlp.numbered import NAMES
from monitor.ingest.otlp.spans import READ

_KNOWN = READ | NAMES
_PREFIX = "attributes."


def told(row: Mapping[str, Any], assistant: str) -> Iterator[Told]:
    """What one row holds: a span, or a person's annotation of one."""
    if "annotator_kind" in row or "annotation_name" in row:
        yield from _annotation(row, assistant)
        return
    context = row.get("context")
    at = context if isinstance(context, dict) else {}
    trace = at.get("trace_id") or row.get("context.trace_id")
    own = at.get("span_id") or row.get("context.span_id")
    attributes = _attributes(row)
    attributes.setdefault("openinference.span.kind", row.get("span_kind"))
    failed = row.get("status_code") == "ERROR"
    yield span(
        (trace, own, row.get("parent_id")),
        (row.get("start_time"), row.get("end_time")),
        attributes,
        name=row.get("name"),
        failed=str(row.get("status_message") or "") if failed else None,
    )


def _attributes(row: Mapping[str, Any]) -> dict[str, Any]:
    given = from_text(row.get("attributes"))
    found = dict(flat(given, _KNOWN)) if isinstance(given, dict) else {}
    for name, value in row.items():
        if name.startswith(_PREFIX) and value is not None:
            found |= dict(flat(from_text(value), _KNOWN, name.removeprefix(_PREFIX)))
    return found


def _annotation(row: Mapping[str, Any], assistant: str) -> Iterator[Told]:
    if row.get("annotator_kind") != "HUMAN":
        return
    result = row.get("result") if isinstance(row.get("result"), dict) else {}
    one = {**row, **(result or {})}
    yield said(
        name=one.get("name") or one.get("annotation_name"),
        about=one.get("span_id") or one.get("context.span_id"),
        user=one.get("user_id") or one.get("identifier"),
        at=one.get("created_at") or one.get("updated_at"),
        opinion_of=(one.get("score"), one.get("label")),
        text=one.get("explanation"),
        own_id=one.get("id"),
        assistant=assistant,
    )
