"""Protobuf whose texts are not UTF-8, and bytes that are no protobuf at all."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.http.otlp import PROTOBUF_TYPE, read_export
from monitor.http.problems import ProblemError
from monitor.ingest.options import IngestOptions
from monitor.ingest.otlp.repair import repaired
from tests.monitor.tap.test_app import export, protobuf, span

WHOLE = protobuf(export(span("chat"), span("embeddings")))
SHAPE = ExportTraceServiceRequest.DESCRIPTOR


def test_what_is_well_stays_as_it_is() -> None:
    assert repaired(WHOLE, SHAPE) == WHOLE


def test_a_text_that_is_no_utf8_is_repaired_in_its_place() -> None:
    hurt = WHOLE.replace(b"shop", b"sh\xe9p")
    assert repaired(hurt, SHAPE) == WHOLE.replace(b"shop", b"sh\x00p")


@pytest.mark.parametrize(
    "body", [b"\x0a\xff", b"\x0f", b"\x0a\x05ab", b"\xff" * 20, b"\x0a\x80", WHOLE[:-3]]
)
def test_what_is_no_protobuf_is_400(body: bytes) -> None:
    with pytest.raises(ProblemError) as problem:
        read_export(body, PROTOBUF_TYPE, options=IngestOptions(), key=b"k" * 32, now_s=1.0)
    assert problem.value.status == 400
