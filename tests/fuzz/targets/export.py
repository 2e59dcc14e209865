"""OTLP exports at the tap, JSON and protobuf: each span is taken, refused or passed over."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.http.body import JSON_TYPE
from monitor.http.problems import ProblemError
from monitor.http.traces import PROTOBUF_TYPE, read_export
from tests.fuzz.checks import GIVEN
from tests.fuzz.choices import Choices
from tests.fuzz.documents import EXPORTS, bent_export
from tests.fuzz.mutation import bent_bytes
from tests.fuzz.target import Target
from tests.fuzz.targets import otlp

_JSON, _PROTOBUF = b"J", b"P"


def make(choices: Choices) -> bytes:
    """The first byte says which encoding."""
    if choices.chance(3):
        return _JSON + otlp.make(choices)
    raw = _protobuf(bent_export(choices)) or _protobuf(choices.pick(EXPORTS))
    for _ in range(choices.pick((0, 0, 0, 1, 2))):
        raw = bent_bytes(raw, choices)
    return _PROTOBUF + raw


def check(data: bytes) -> str:
    kind = JSON_TYPE if data[:1] == _JSON else PROTOBUF_TYPE
    try:
        export = read_export(data[1:], kind, **GIVEN)
    except ProblemError as problem:
        return f"refused {problem.status.value}"
    assert export.answer().status_code == 200
    if export.errors:
        return "some are told" if export.accepted else "all are told"
    if export.accepted:
        return "taken"
    return f"passed over ({', '.join(sorted(export.passed_over))})"


def _protobuf(document: dict[str, Any]) -> bytes:
    """The document as protobuf, empty where it cannot be written so."""
    try:
        request = ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except Exception:  # the parser itself breaks on some, which no sender can send
        return b""
    return bytes(request.SerializeToString())


TARGET = Target("export", make, check)
