"""OTLP over gRPC: what the HTTP door takes, refuses and gives back, in gRPC's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from evidence import UnreachableError
from monitor.http.options import ApiOptions
from monitor.ingest.connection import Connection
from monitor.tap.delivery import QueueFullError
from monitor.tap.grpc_door import GrpcDoor
from monitor.tap.taking import Taking
from tests.monitor.tap.test_app import Tap, broker, export, protobuf, records, span, tap

__all__ = ["broker", "tap"]

LIMIT = 20_000


@pytest.fixture
def channel(tap: Tap) -> Iterator[grpc.Channel]:
    options = ApiOptions(max_body_bytes=LIMIT)
    with (
        GrpcDoor(tap.taking, "127.0.0.1", 0, options=options) as door,
        grpc.insecure_channel(door.address) as opened,
    ):
        yield opened


def request(*spans: dict[str, Any]) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(protobuf(export(*spans)))


def failure(call: Any, *given: Any, **options: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as raised:
        call(*given, timeout=20, **options)
    return raised.value


@pytest.mark.parametrize("packed", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_spans_are_in_the_topic_when_the_answer_comes(
    tap: Tap, broker: Connection, channel: grpc.Channel, packed: grpc.Compression
) -> None:
    before = len(records(broker, "assistant.responses"))
    sent = request(span("chat", **{"gen_ai.response.id": "g1"}), span("embeddings"))
    answer = TraceServiceStub(channel).Export(sent, timeout=20, compression=packed)
    assert answer.partial_success.rejected_spans == 0
    (record,) = records(broker, "assistant.responses")[before:]
    assert record["response_id"] == "g1"
    assert "alice" not in str(record)


def test_what_is_wrong_is_told_beside_what_is_taken(tap: Tap, channel: grpc.Channel) -> None:
    cut = span("chat", **{"gen_ai.output.messages": "[{"})
    answer = TraceServiceStub(channel).Export(request(cut, span("chat")), timeout=20)
    assert answer.partial_success.rejected_spans == 1
    assert "messages" in answer.partial_success.error_message
    assert (tap.count("traces", "delivered"), tap.count("traces", "refused")) == (1.0, 1.0)


def test_logs_and_empty_exports_are_taken(channel: grpc.Channel) -> None:
    sent = ExportLogsServiceRequest()
    logs = sent.resource_logs.add().scope_logs.add().log_records
    lost = logs.add(event_name="gen_ai.user.message")
    lost.body.string_value = "Who?"
    answer = LogsServiceStub(channel).Export(sent, timeout=20)
    assert answer.partial_success.rejected_log_records == 1
    assert TraceServiceStub(channel).Export(ExportTraceServiceRequest(), timeout=20) is not None


def test_bytes_that_are_no_export_are_refused_for_good(channel: grpc.Channel) -> None:
    raw = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
    assert failure(raw, b"\xff\xff").code() is grpc.StatusCode.INVALID_ARGUMENT
    other = channel.unary_unary("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")
    assert failure(other, b"").code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("packed", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_more_than_the_limit_is_refused_packed_or_not(
    channel: grpc.Channel, packed: grpc.Compression
) -> None:
    raw = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
    found = failure(raw, b"\x00" * (LIMIT * 100), compression=packed)
    assert found.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("error", [QueueFullError("full"), UnreachableError("Kafka", "away")])
def test_what_cannot_be_delivered_is_given_back(
    tap: Tap, channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_records: Any) -> None:
        raise error

    monkeypatch.setattr(tap.delivery, "send", fail)
    found = failure(TraceServiceStub(channel).Export, request(span("chat")))
    assert found.code() is grpc.StatusCode.UNAVAILABLE


def test_a_bug_shows_the_client_no_text(
    tap: Tap, channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: Any) -> None:
        raise KeyError("alice@example.org")

    monkeypatch.setattr(Taking, "export", fail)
    found = failure(TraceServiceStub(channel).Export, request(span("chat")))
    assert found.code() is grpc.StatusCode.INTERNAL
    assert "alice" not in (found.details() or "")
