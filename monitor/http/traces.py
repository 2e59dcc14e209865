"""OTLP trace exports over HTTP, as JSON or protobuf, to records of the responses topic.

Source: OTLP/HTTP specification (opentelemetry.io/docs/specs/otlp): `POST /v1/traces`, the answer has the
request's type.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import Response as HttpResponse
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from evidence import Response
from monitor.http.body import JSON_TYPE, media_type
from monitor.http.problems import ProblemError
from monitor.http.records import shown
from monitor.http.repair import repaired
from monitor.ingest import batch
from monitor.ingest.decode import decode_spans
from monitor.ingest.options import IngestOptions
from monitor.ingest.otlp import read_spans
from monitor.ingest.records import Refused
from monitor.ingest.text import parse_json

PROTOBUF_TYPE = "application/x-protobuf"


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """What an export held: chat spans that are well, (where, what) of those that are not, and others."""

    media_type: str
    accepted: tuple[Response, ...]
    errors: tuple[tuple[str, str], ...]
    passed_over: Mapping[str, int]

    @property
    def reasons(self) -> str:
        """Why spans were refused, in a line."""
        return shown(self.errors)

    def answer(self) -> HttpResponse:
        """OTLP's answer: how many chat spans were refused, and why; the others were taken."""
        made = ExportTraceServiceResponse()
        if self.errors:
            partial_success = ExportTracePartialSuccess(
                rejected_spans=len(self.errors), error_message=self.reasons
            )
            made.partial_success.CopyFrom(partial_success)
        if self.media_type == PROTOBUF_TYPE:
            return HttpResponse(bytes(made.SerializeToString()), media_type=PROTOBUF_TYPE)
        told = {"rejectedSpans": len(self.errors), "errorMessage": self.reasons}
        body = {"partialSuccess": told} if self.errors else {}
        return HttpResponse(msgspec.json.encode(body), media_type=JSON_TYPE)


def read_export(
    body: bytes, content_type: str, *, options: IngestOptions, key: bytes, now_s: float
) -> Export:
    """The chat spans of an export, checked as records of the topic are (`decode_response`).

    Raises ProblemError: 400 for what cannot be read, 415 for an unknown type.
    """
    kind = media_type(content_type)
    if kind not in (JSON_TYPE, PROTOBUF_TYPE):
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the content type is {JSON_TYPE} or {PROTOBUF_TYPE}, not {kind or 'missing'}",
        )
    spans = read_spans(_from_protobuf(body) if kind == PROTOBUF_TYPE else _from_json(body))
    checked = batch.sort_out(decode_spans(spans, options=options, key=key, now_s=now_s))
    return Export(
        media_type=kind,
        accepted=tuple(one for one in checked.accepted if isinstance(one, Response)),
        errors=checked.errors,
        passed_over=spans.passed_over,
    )


def _from_json(plain: bytes) -> dict[str, Any]:
    try:
        return parse_json(plain)
    except Refused as refused:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"the body is not OTLP: {refused}") from refused


def _from_protobuf(plain: bytes) -> dict[str, Any]:
    try:
        export: dict[str, Any] = MessageToDict(_parsed(plain))
    except (DecodeError, ValueError, RecursionError) as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "the body is not OTLP protobuf") from error
    for span in _spans(export):
        # OTLP writes ids as hex where protobuf's own JSON writes base64.
        for name in ("traceId", "spanId"):
            if name in span:
                span[name] = base64.b64decode(span[name]).hex()
    return export


def _parsed(plain: bytes) -> ExportTraceServiceRequest:
    try:
        return ExportTraceServiceRequest.FromString(plain)
    except DecodeError:
        message = ExportTraceServiceRequest.DESCRIPTOR
        return ExportTraceServiceRequest.FromString(repaired(plain, message))


def _spans(export: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in export.get("resourceSpans", []):
        for scope in resource.get("scopeSpans", []):
            yield from scope.get("spans", [])
