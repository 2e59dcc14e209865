"""OTLP trace exports over HTTP, as JSON or protobuf, to records of the responses topic.

Source: OTLP/HTTP specification (opentelemetry.io/docs/specs/otlp): `POST /v1/traces`, the body may be
compressed with gzip, the answer has the request's encoding.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import msgspec
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from monitor.http.problems import ProblemError
from monitor.ingest.otlp import Spans, read_spans
from monitor.ingest.records import Refused
from monitor.ingest.text import parse_json
from monitor.tap.repair import repaired

JSON, PROTOBUF = "application/json", "application/x-protobuf"


def read_export(body: bytes, content_type: str, content_encoding: str, max_bytes: int) -> Spans:
    """The chat spans of an export, still to be checked, and how many others were passed over.

    Raises ProblemError: 400 for what cannot be read, 413 when it unpacks to more than `max_bytes`, 415
    for an unknown type.
    """
    plain = _unpacked(body, content_encoding, max_bytes)
    kind = media_type(content_type)
    return read_spans(_from_protobuf(plain) if kind == PROTOBUF else _from_json(plain))


def media_type(content_type: str) -> str:
    """JSON or PROTOBUF. Raises ProblemError (415) for anything else."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (JSON, PROTOBUF):
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the content type is {JSON} or {PROTOBUF}, not {kind or 'missing'}",
        )
    return kind


def answer(kind: str, rejected: int, message: str) -> bytes:
    """The export's answer in its own encoding: how many chat spans were refused, and why."""
    if kind == JSON:
        partial = {"partialSuccess": {"rejectedSpans": rejected, "errorMessage": message}}
        return msgspec.json.encode(partial if rejected else {})
    made = ExportTraceServiceResponse()
    if rejected:
        partial_success = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
        made.partial_success.CopyFrom(partial_success)
    return bytes(made.SerializeToString())


def _unpacked(body: bytes, content_encoding: str, max_bytes: int) -> bytes:
    if content_encoding in ("", "identity"):
        return body
    if content_encoding != "gzip":
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the encoding is gzip, not {content_encoding}"
        )
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        plain = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"the body is not gzip: {error}") from error
    if len(plain) > max_bytes:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body unpacks to more than {max_bytes} bytes"
        )
    return plain


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
