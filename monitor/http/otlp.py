"""OTLP exports of traces and logs, as JSON or protobuf, to records of the input topics.

Source: OTLP specification (opentelemetry.io/docs/specs/otlp): `POST /v1/traces` and `/v1/logs`, the answer has the
request's type; refusals and warnings stand in `partial_success`.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal

import msgspec
from fastapi import Response as HttpResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from monitor.http.body import JSON_TYPE, media_type
from monitor.http.problems import ProblemError
from monitor.http.records import shown
from monitor.ingest import batch
from monitor.ingest.decode import decode_spans
from monitor.ingest.options import IngestOptions
from monitor.ingest.otlp import from_protobuf, read_chats
from monitor.ingest.parts import NO_CONTENT, Part
from monitor.ingest.records import Refused
from monitor.ingest.text import parse_json

PROTOBUF_TYPE = "application/x-protobuf"
Signal = Literal["traces", "logs"]
_Answer = ExportTraceServiceResponse | ExportLogsServiceResponse


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """What an export held: records that are well, (where, what) of what is wrong, and what was passed over."""

    accepted: tuple[batch.Record, ...]
    errors: tuple[tuple[str, str], ...]
    passed_over: Mapping[str, int]

    @property
    def reasons(self) -> str:
        """Why some were refused, or what is amiss with what was taken, in a line; "" where all is well."""
        if self.errors:
            return shown(self.errors)
        bare = sum(isinstance(one, Part) and one.kind == "bare" for one in self.accepted)
        return f"{bare} chat spans: {NO_CONTENT}" if bare else ""

    def told(self, signal: Signal) -> _Answer:
        """OTLP's answer: how many were refused, and why; the others were taken."""
        if signal == "logs":
            logs = ExportLogsServiceResponse()
            if self.reasons:
                said = ExportLogsPartialSuccess(
                    rejected_log_records=len(self.errors), error_message=self.reasons
                )
                logs.partial_success.CopyFrom(said)
            return logs
        traces = ExportTraceServiceResponse()
        if self.reasons:
            partial = ExportTracePartialSuccess(
                rejected_spans=len(self.errors), error_message=self.reasons
            )
            traces.partial_success.CopyFrom(partial)
        return traces

    def answer(self, signal: Signal, media_type: str) -> HttpResponse:
        """The same over HTTP, in the type of the request."""
        if media_type == PROTOBUF_TYPE:
            made = bytes(self.told(signal).SerializeToString())
            return HttpResponse(made, media_type=PROTOBUF_TYPE)
        rejected = "rejectedSpans" if signal == "traces" else "rejectedLogRecords"
        told = {rejected: len(self.errors), "errorMessage": self.reasons}
        body = {"partialSuccess": told} if self.reasons else {}
        return HttpResponse(msgspec.json.encode(body), media_type=JSON_TYPE)


def read_export(
    body: bytes, content_type: str, *, options: IngestOptions, key: bytes, now_s: float
) -> Export:
    """What an export holds, checked as records of the topic are (`decode_response`).

    Raises ProblemError: 400 for what cannot be read, 415 for an unknown type.
    """
    document = parsed_export(body, export_type(content_type))
    return sorted_out(document, options=options, key=key, now_s=now_s)


def export_type(content_type: str) -> str:
    """The type of an export. Raises ProblemError (415) for an unknown one."""
    kind = media_type(content_type)
    if kind not in (JSON_TYPE, PROTOBUF_TYPE):
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the content type is {JSON_TYPE} or {PROTOBUF_TYPE}, not {kind or 'missing'}",
        )
    return kind


def sorted_out(
    export: Mapping[str, Any], *, options: IngestOptions, key: bytes, now_s: float
) -> Export:
    """The records of an export in the shape of OTLP's JSON."""
    spans = read_chats(export)
    checked = batch.sort_out(decode_spans(spans, options=options, key=key, now_s=now_s))
    return Export(accepted=checked.accepted, errors=checked.errors, passed_over=spans.passed_over)


def parsed_export(body: bytes, kind: str) -> dict[str, Any]:
    """An export of a type in the shape of OTLP's JSON. Raises ProblemError (400)."""
    return _from_protobuf(body) if kind == PROTOBUF_TYPE else _from_json(body)


def _from_json(plain: bytes) -> dict[str, Any]:
    try:
        return parse_json(plain)
    except Refused as refused:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"the body is not OTLP: {refused}") from refused


def _from_protobuf(plain: bytes) -> dict[str, Any]:
    try:
        return from_protobuf(plain)
    except Refused as refused:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "the body is not OTLP protobuf") from refused
