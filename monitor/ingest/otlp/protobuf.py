"""OTLP protobuf, as the Collector's Kafka exporter writes it by default (`otlp_proto`) and SDKs send it.

Traces and logs are told apart by what stands in them: both begin with a list of resources, and a record of
one does not read as the other.
"""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.ingest.otlp.repair import repaired
from monitor.ingest.records import DeadLetterReason, Refused

_FIRST_FIELD = b"\x0a"


def may_be_protobuf(raw: bytes) -> bool:
    """Whether the bytes begin as an export in protobuf does; so does JSON behind an empty line."""
    return raw.startswith(_FIRST_FIELD)


def from_protobuf(raw: bytes) -> dict[str, Any]:
    """The export in the shape of OTLP's JSON. Raises Refused (`not_json`) for what is neither traces nor logs."""
    try:
        traces = _parsed(raw, ExportTraceServiceRequest)
        if traces is not None and _is_traces(traces):
            return _as_json(traces)
        logs = _parsed(raw, ExportLogsServiceRequest)
        if logs is not None and _is_logs(logs):
            return _as_json(logs)
        if traces is not None:
            return _as_json(traces)  # spans without ids: each is refused by its own reason
    except (DecodeError, ValueError, RecursionError):
        pass
    raise Refused(DeadLetterReason.NOT_JSON, "neither JSON nor OTLP protobuf")


def _is_traces(export: Any) -> bool:
    """Whether spans have ids where spans have them; a log record has a number there. An export without a
    record is one of traces."""
    spans = [s for r in export.resource_spans for scope in r.scope_spans for s in scope.spans]
    return not spans or any(span.trace_id for span in spans)


def _is_logs(export: Any) -> bool:
    return any(scope.log_records for r in export.resource_logs for scope in r.scope_logs)


def _parsed(raw: bytes, kind: Any) -> Any | None:
    """The message, or None where the bytes are no message of this kind."""
    try:
        return kind.FromString(raw)
    except DecodeError:
        pass
    try:
        return kind.FromString(repaired(raw, kind.DESCRIPTOR))
    except (DecodeError, ValueError, RecursionError):
        return None


def _as_json(export: Any) -> dict[str, Any]:
    """The export as its JSON reads, with attributes as plain values by name.

    Written out because protobuf's own JSON takes three times as long, most of it for what nobody reads.
    """
    if hasattr(export, "resource_spans"):
        return {
            "resourceSpans": [
                {
                    "resource": {"attributes": _attributes(one.resource)},
                    "scopeSpans": [
                        {"spans": [_span(span) for span in scope.spans]}
                        for scope in one.scope_spans
                    ],
                }
                for one in export.resource_spans
            ]
        }
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": _attributes(one.resource)},
                "scopeLogs": [
                    {"logRecords": [_event(event) for event in scope.log_records]}
                    for scope in one.scope_logs
                ],
            }
            for one in export.resource_logs
        ]
    }


def _span(span: Any) -> dict[str, Any]:
    # OTLP writes ids as hex where protobuf's own JSON writes base64.
    made = {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "parentSpanId": span.parent_span_id.hex(),
        "name": span.name,
        "startTimeUnixNano": span.start_time_unix_nano,
        "endTimeUnixNano": span.end_time_unix_nano,
        "attributes": _attributes(span),
    }
    if span.status.code:
        made["status"] = {"code": span.status.code, "message": span.status.message}
    return made


def _event(event: Any) -> dict[str, Any]:
    return {
        "traceId": event.trace_id.hex(),
        "spanId": event.span_id.hex(),
        "timeUnixNano": event.time_unix_nano,
        "observedTimeUnixNano": event.observed_time_unix_nano,
        "eventName": event.event_name,
        "body": MessageToDict(event.body),
        "attributes": _attributes(event),
    }


def _attributes(holder: Any) -> dict[str, Any]:
    return {one.key: _plain(one.value) for one in holder.attributes}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {one.key: _plain(one.value) for one in value.kvlist_value.values}
    if kind is None or kind == "bytes_value":
        return None
    found = getattr(value, kind)
    return str(found) if isinstance(found, float) and not math.isfinite(found) else found
