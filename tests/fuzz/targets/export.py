"""OTLP exports at the tap, JSON and protobuf: each span is taken, refused or passed over."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.http.problems import ProblemError
from monitor.ingest.decode import decode_spans
from monitor.tap.traces import JSON, PROTOBUF, read_export
from tests.fuzz.checks import GIVEN, outcome
from tests.fuzz.choices import Choices
from tests.fuzz.documents import EXPORTS
from tests.fuzz.mutation import bent, bent_bytes, seeds_of
from tests.fuzz.target import Target

_JSON, _PROTOBUF = b"J", b"P"


def make(choices: Choices) -> bytes:
    """The first byte says which encoding."""
    if choices.chance(3):
        return _JSON + seeds_of(EXPORTS, choices)
    raw = _protobuf(bent(choices.pick(EXPORTS), choices)) or _protobuf(
        json.dumps(choices.pick(EXPORTS)).encode()
    )
    for _ in range(choices.pick((0, 0, 0, 1, 2))):
        raw = bent_bytes(raw, choices)
    return _PROTOBUF + raw


def check(data: bytes) -> str:
    kind = JSON if data[:1] == _JSON else PROTOBUF
    try:
        spans = read_export(data[1:], kind, "", 1_000_000)
    except ProblemError as problem:
        return f"refused {problem.status.value}"
    found = decode_spans(spans, **GIVEN)
    assert len(found) == len(spans.found)
    return outcome(found) if found else f"passed over ({', '.join(sorted(spans.passed_over))})"


def _protobuf(raw: bytes) -> bytes:
    """The document as protobuf, empty where it is no export."""
    try:
        document: Any = json.loads(raw)
        request = ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except Exception:  # the parser itself breaks on some, which no sender can send
        return b""
    return bytes(request.SerializeToString())


TARGET = Target("export", make, check)
