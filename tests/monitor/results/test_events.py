"""Results as OpenTelemetry events, read back from the wire by OpenTelemetry's own messages."""

from __future__ import annotations

import gzip
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from evidence import UnreachableError, VerdictKind
from monitor.results.otlp import OtlpSink
from monitor.results.result import TraceContext
from monitor.results.sink import Outcome
from tests.monitor.results import made

PROTOBUF = {"Content-Type": "application/x-protobuf"}


def received(request: httpx.Request) -> list[LogRecord]:
    export = ExportLogsServiceRequest.FromString(gzip.decompress(request.content))
    (group,) = export.resource_logs
    assert {a.key: a.value.string_value for a in group.resource.attributes} == {
        "service.name": "candor"
    }
    return list(group.scope_logs[0].log_records)


def attributes(record: LogRecord) -> dict[str, Any]:
    found = {}
    for pair in record.attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = [v.string_value for v in value.values] if kind == "array_value" else value
    return found


def sent(*results: Any) -> list[LogRecord]:
    records: list[LogRecord] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.url.path, request.headers["x-key"]) == ("/v1/logs", "k")
        records.extend(received(request))
        return httpx.Response(200, headers=PROTOBUF)

    sink = OtlpSink(made.endpoint(answer))
    assert sink.send(results) == [Outcome.SENT] * len(results)
    return records


def test_a_verdict_is_the_event_of_the_conventions_under_its_span() -> None:
    (record,) = sent(made.explained())
    assert record.event_name == "gen_ai.evaluation.result"
    assert (record.trace_id.hex(), record.span_id.hex()) == (made.TRACE, made.SPAN)
    assert record.time_unix_nano == 1_790_000_001_500_000_000
    found = attributes(record)
    assert found["gen_ai.evaluation.name"] == "candor.verdict"
    assert found["gen_ai.evaluation.score.value"] == 0.93
    assert found["gen_ai.evaluation.score.label"] == "lie"
    assert found["gen_ai.response.id"] == "r1"
    assert "It is in stock." in found["gen_ai.evaluation.explanation"]
    assert "error.type" not in found
    assert found["candor.event.key"] == "verdict/key1"
    assert found["candor.evaluator.version"] == "e1"
    assert (found["candor.noise_floor"], found["candor.noise_floor.n"]) == (0.02, 40)
    lower, upper = (found[f"candor.evaluator.sensitivity.{end}"] for end in ("lower", "upper"))
    assert 0.70 < lower < 0.8 < upper < 0.88
    assert found["candor.evaluator.specificity.n"] == 200.0


def test_without_permission_no_word_of_the_conversation_is_in_it() -> None:
    (record,) = sent(made.told())
    assert (
        attributes(record)["gen_ai.evaluation.explanation"] == "lie, p_lie 0.930, about told_facts"
    )


def test_an_undecided_verdict_names_no_kind_of_lie() -> None:
    (record,) = sent(made.told(kind=VerdictKind.UNDECIDED, p_lie=0.5, archetype=None))
    found = attributes(record)
    assert found["gen_ai.evaluation.score.label"] == "undecided"
    assert found["gen_ai.evaluation.explanation"] == "undecided, p_lie 0.500"
    assert "candor.archetype" not in found


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("Timeout", "Timeout"),
        ("judge: HTTP 500 from http://10.0.0.1", "judge"),
        ("he said: no", "_OTHER"),
        ("", "_OTHER"),
    ],
)
def test_an_error_has_a_short_type_and_no_score(error: str, shown: str) -> None:
    (record,) = sent(made.told(kind=VerdictKind.ERROR, p_lie=None, error=error))
    found = attributes(record)
    assert found["error.type"] == shown
    assert found["gen_ai.evaluation.score.label"] == "error"
    assert "gen_ai.evaluation.score.value" not in found


def test_alarms_and_decisions_are_events_without_what_names_raters() -> None:
    first, second = sent(made.alarm(), made.decision())
    assert (first.event_name, second.event_name) == ("candor.alarm", "candor.gate.decision")
    found = attributes(first)
    assert found["candor.alarm.state"] == "open"
    assert found["candor.event.key"] == "alarm/a1/open/6.000000"
    assert "p1" not in str(first)
    assert attributes(second)["candor.gate.reasons"] == ["no_control", "open_alarm"]
    assert attributes(second)["candor.gate.answer"] == "hold"


def test_a_text_that_is_no_unicode_spoils_nothing() -> None:
    (record,) = sent(made.told(response_id="r\ud800\x00"))
    assert attributes(record)["gen_ai.response.id"] == "r?\x00"


@pytest.mark.parametrize(
    ("trace_id", "span_id", "expected"),
    [
        (made.TRACE.upper(), made.SPAN, (made.TRACE, made.SPAN)),
        (f"tr-{made.TRACE}", made.SPAN, (made.TRACE, made.SPAN)),
        (made.TRACE, "0" * 16, (made.TRACE, None)),
        (made.TRACE, 7, (made.TRACE, None)),
        ("0" * 32, made.SPAN, None),
        (made.TRACE + "\n", made.SPAN, None),
        ({"a": 1}, made.SPAN, None),
        (None, None, None),
    ],
)
def test_ids_that_opentelemetry_would_not_take_are_none(
    trace_id: Any, span_id: Any, expected: tuple[str, str | None] | None
) -> None:
    found = TraceContext.of({"trace_id": trace_id, "span_id": span_id})
    assert (found and (found.trace_id, found.span_id)) == expected


def answering(*answers: httpx.Response) -> tuple[OtlpSink, list[int]]:
    left, sizes = list(answers), []

    def answer(request: httpx.Request) -> httpx.Response:
        sizes.append(len(received(request)))
        return left.pop(0)

    return OtlpSink(made.endpoint(answer)), sizes


def test_records_that_a_receiver_rejects_are_counted_and_not_sent_again() -> None:
    partial = ExportLogsServiceResponse()
    partial.partial_success.rejected_log_records = 1
    sink, _ = answering(httpx.Response(200, headers=PROTOBUF, content=partial.SerializeToString()))
    assert sorted(sink.send(made.every())) == ["rejected", "sent", "sent"]


def test_one_bad_record_is_found_and_the_others_are_taken() -> None:
    answers = (httpx.Response(400), httpx.Response(200), httpx.Response(413), httpx.Response(200))
    sink, sizes = answering(*answers)
    assert sink.send(made.every()) == [Outcome.SENT, Outcome.REJECTED, Outcome.SENT]
    assert sizes == [3, 1, 1, 1]


@pytest.mark.parametrize("status", [301, 401, 403, 404, 429, 500, 503])
def test_a_receiver_that_is_away_or_wants_another_key_loses_nothing(status: int) -> None:
    sink, _ = answering(httpx.Response(status))
    with pytest.raises(UnreachableError):
        sink.send(made.every())
