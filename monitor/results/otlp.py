"""Results as OpenTelemetry events over OTLP/HTTP: `gen_ai.evaluation.result`, `candor.alarm`, `candor.gate.decision`.

The messages are OpenTelemetry's own (`opentelemetry-proto`). The SDK's exporter is not used: it hands
records to a queue of its own and does not tell which of them a receiver rejected, so that nothing could be
said to have arrived. Source: OTLP 1.x, semantic conventions for generative AI (events).
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from evidence import UnreachableError
from monitor.results.result import (
    NAME,
    AlarmResult,
    DecisionResult,
    Result,
    VerdictResult,
    error_type,
    explanation,
    facts,
)
from monitor.results.sink import Endpoint, Outcome, is_refused, one_by_one

_HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}

Value = str | int | float | bool | Sequence[str] | None


class OtlpSink:
    """A `ResultSink` that any OTLP receiver is; it takes every kind.

    OTLP has no idempotent key: a receiver that must count once reads `candor.event.key`, which is equal
    for every delivery of one result.
    """

    name = "otlp"

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def send(self, results: Sequence[Result]) -> list[Outcome]:
        request = ExportLogsServiceRequest()
        group = request.resource_logs.add()
        group.resource.attributes.append(_pair("service.name", "candor"))
        scope = group.scope_logs.add()
        scope.scope.name = "candor"
        scope.scope.version = version("candor-monitor")
        scope.log_records.extend(event(result) for result in results)
        body = gzip.compress(request.SerializeToString(), 5, mtime=0)
        answer = self._endpoint.ask("POST", "/v1/logs", content=body, headers=_HEADERS)
        if answer.status_code == 404:
            raise UnreachableError("OTLP receiver", "HTTP 404: it takes no logs at /v1/logs")
        if is_refused(answer):
            if len(results) > 1:
                return one_by_one(results, self.send)
            return [Outcome.REJECTED]
        taken = ExportLogsServiceResponse()
        if answer.headers.get("content-type", "").startswith("application/x-protobuf"):
            taken.ParseFromString(answer.content)
        # Which of them were rejected is not said, and the specification forbids to send them again.
        rejected = min(len(results), max(0, taken.partial_success.rejected_log_records))
        return [Outcome.SENT] * (len(results) - rejected) + [Outcome.REJECTED] * rejected

    def check(self) -> None:
        body = gzip.compress(ExportLogsServiceRequest().SerializeToString(), mtime=0)
        self._endpoint.check("POST", "/v1/logs", content=body, headers=_HEADERS)

    def close(self) -> None:
        self._endpoint.close()


def event(result: Result) -> LogRecord:
    """The log record of a result."""
    if isinstance(result, VerdictResult):
        return _verdict(result)
    if isinstance(result, AlarmResult):
        return _alarm(result)
    return _decision(result)


def _verdict(result: VerdictResult) -> LogRecord:
    verdict = result.verdict
    attributes: dict[str, Value] = {
        "gen_ai.evaluation.name": NAME,
        "gen_ai.evaluation.score.value": verdict.assessment.p_lie,
        "gen_ai.evaluation.score.label": verdict.assessment.kind.value,
        "gen_ai.evaluation.explanation": explanation(result),
        "gen_ai.response.id": verdict.response_id,
        "error.type": error_type(result),
        "candor.event.key": f"verdict/{verdict.key}",
        **facts(result),
    }
    record = _record("gen_ai.evaluation.result", verdict.scored_at_s, attributes)
    if result.trace is not None:
        record.trace_id = bytes.fromhex(result.trace.trace_id)
        if result.trace.span_id is not None:
            record.span_id = bytes.fromhex(result.trace.span_id)
    return record


def _alarm(result: AlarmResult) -> LogRecord:
    alarm = result.alarm
    attributes: dict[str, Value] = {
        "candor.event.key": f"alarm/{alarm.alarm_id}/{alarm.state.value}/{result.at_s:.6f}",
        "candor.alarm.id": alarm.alarm_id,
        "candor.alarm.state": alarm.state.value,
        "candor.alarm.subject": alarm.subject.value,
        "candor.alarm.scope": alarm.scope,
        "candor.alarm.metric": alarm.metric,
        "candor.alarm.claim": alarm.claim,
        "candor.alarm.n": alarm.n,
        "candor.alarm.log_evidence": alarm.log_evidence,
        "candor.alarm.log_threshold": alarm.log_threshold,
        "candor.alarm.reference": alarm.reference,
    }
    record = _record("candor.alarm", result.at_s, attributes)
    record.severity_number = SeverityNumber.SEVERITY_NUMBER_WARN
    record.severity_text = "WARN"
    return record


def _decision(result: DecisionResult) -> LogRecord:
    attributes: dict[str, Value] = {
        "candor.event.key": f"decision/{result.decision_id}/{result.event}",
        "candor.gate.event": result.event,
        "candor.gate.decision_id": result.decision_id,
        "candor.gate.answer": result.answer,
        "candor.gate.reasons": result.reasons,
        "candor.gate.rows": result.rows,
        "candor.gate.released": result.released,
        "candor.gate.subject_digest": result.subject_digest,
        "candor.gate.overridden_by": result.overridden_by,
        "candor.assistant": result.assistant,
    }
    return _record("candor.gate.decision", result.at_s, attributes)


def _record(name: str, at_s: float, attributes: Mapping[str, Value]) -> LogRecord:
    at_ns = int(at_s * 1e9)
    return LogRecord(
        event_name=name,
        time_unix_nano=at_ns,
        observed_time_unix_nano=at_ns,
        severity_number=SeverityNumber.SEVERITY_NUMBER_INFO,
        severity_text="INFO",
        attributes=[_pair(key, value) for key, value in attributes.items() if value is not None],
    )


def _pair(key: str, value: Value) -> KeyValue:
    return KeyValue(key=key, value=_value(value))


def _value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        # What a text may hold and UTF-8 may not would spoil the whole request.
        return AnyValue(string_value=value.encode("utf-8", "replace").decode())
    return AnyValue(array_value=ArrayValue(values=[_value(item) for item in value or ()]))
