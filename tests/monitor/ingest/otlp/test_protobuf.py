"""Exports in protobuf, as the Collector's Kafka exporter writes them by default."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from evidence import Response
from monitor.ingest import DeadLetter, DeadLetterReason
from monitor.ingest.otlp import from_protobuf
from monitor.ingest.records import Refused
from tests.monitor.ingest.otlp.test_spans import NOW_S, attribute, decode, export, said, span

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
DETAILS = "gen_ai.client.inference.operation.details"


def in_protobuf(plain: dict[str, Any], kind: Any) -> bytes:
    """OTLP's JSON as protobuf: ids are hex there, base64 in protobuf's own JSON."""
    made = ParseDict(plain, kind(), ignore_unknown_fields=True)
    return bytes(made.SerializeToString())


def traces(*spans: dict[str, Any]) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    resource = request.resource_spans[0].resource
    ParseDict({"attributes": [attribute("service.name", "helper")]}, resource)
    for one in spans:
        made = scope.spans.add()
        ParseDict({k: v for k, v in one.items() if k not in {"traceId", "spanId"}}, made)
        made.trace_id, made.span_id = bytes.fromhex(TRACE), bytes.fromhex(one["spanId"])
    return bytes(request.SerializeToString())


def event(name: str | None, by_attribute: str | None = None) -> dict[str, Any]:
    told = span("01")
    attributes = list(told["attributes"])
    if by_attribute is not None:
        attributes.append(attribute("event.name", by_attribute))
    made = {"timeUnixNano": told["endTimeUnixNano"], "attributes": attributes}
    return made | ({} if name is None else {"eventName": name})


def logs(*events: dict[str, Any]) -> bytes:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    ParseDict(
        {"attributes": [attribute("service.name", "helper")]}, request.resource_logs[0].resource
    )
    for one in events:
        made = scope.log_records.add()
        ParseDict(one, made)
        made.trace_id, made.span_id = bytes.fromhex(TRACE), bytes.fromhex(SPAN)
    return bytes(request.SerializeToString())


def test_a_record_in_protobuf_is_the_record_in_json() -> None:
    (from_json,) = decode(export(span(SPAN)))
    (found,) = decode(traces(span(SPAN)))
    assert found == from_json


def test_an_event_of_a_whole_exchange_is_the_response_of_its_span() -> None:
    for raw in (logs(event(DETAILS)), logs(event(None, DETAILS))):
        (found,) = decode(raw)
        assert isinstance(found, Response)
        assert found.response_id == f"{TRACE}-{SPAN}"
        assert said(found) == [("user", "Is it safe?"), ("assistant", "No.")]
        assert found.stratum.assistant == "helper"
        assert found.created_at_s == NOW_S - 5


def test_other_events_are_counted_and_make_no_response() -> None:
    (letter,) = decode(logs(event("gen_ai.choice")))
    assert isinstance(letter, DeadLetter)
    assert letter.reason is DeadLetterReason.NO_RESPONSE


def test_events_in_json_are_read_alike() -> None:
    one = {**event(DETAILS), "traceId": TRACE, "spanId": SPAN}
    resource = {"attributes": [attribute("service.name", "helper")]}
    raw = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [one]}]}]}
    (found,) = decode(json.dumps(raw).encode())
    assert isinstance(found, Response)


@pytest.mark.parametrize(
    "raw", [b"\n\x05ab", b"\n\xff\xff\xff\xff\xff\xff", b"\n", b"\n{nothing", b"\n" * 50]
)
def test_what_is_neither_is_refused_and_ends_nothing(raw: bytes) -> None:
    (letter,) = decode(raw)
    assert isinstance(letter, DeadLetter)


def test_json_behind_an_empty_line_stays_json() -> None:
    (found,) = decode(b"\n" + export(span(SPAN)))
    assert isinstance(found, Response)


def test_values_that_are_nested_without_end_are_refused() -> None:
    request = ExportTraceServiceRequest()
    made = request.resource_spans.add().scope_spans.add().spans.add()
    made.trace_id = bytes.fromhex(TRACE)
    value = made.attributes.add(key="x").value
    for _ in range(90):
        value = value.array_value.values.add()
    with pytest.raises(Refused):
        from_protobuf(request.SerializeToString() * 1 + b"\xff")
