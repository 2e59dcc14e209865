"""Verdicts as events through a real OpenTelemetry Collector, which writes them to a real Kafka."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from monitor.store import reading, results
from tests.monitor.results.test_events import attributes
from tests.system.results_house import House, made_spans
from tests.system.services import free_port, missing
from tests.system.vllm_server import services_dir

pytestmark = pytest.mark.system

TOPIC, N = "results-otlp", 60
CONFIG = """receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}
exporters:
  kafka: {{brokers: ["{kafka}"], logs: {{topic: {topic}}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{logs: {{receivers: [otlp], exporters: [kafka]}}}}
"""


class Collector:
    """One that is started when the test says so."""

    def __init__(self, folder: Path, kafka: str) -> None:
        self.program = services_dir() / "collector" / "bin" / "otelcol"
        if not self.program.exists():
            missing("no OpenTelemetry Collector: tools/services.sh builds it")
        self.port, self.folder = free_port(), folder
        config = CONFIG.format(port=self.port, kafka=kafka, topic=TOPIC)
        (folder / "collector.yaml").write_text(config)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "collector.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(self.program), "--config", str(self.folder / "collector.yaml")],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def collector(tmp_path: Path, kafka: str) -> Iterator[Collector]:
    made = Collector(tmp_path, kafka)
    yield made
    made.close()


def events(kafka: str, n: int) -> list[LogRecord]:
    """The first records of the topic, in its order."""
    consumer = KafkaConsumer(bootstrap_servers=kafka)
    partition = TopicPartition(TOPIC, 0)
    consumer.assign([partition])
    consumer.seek(partition, 0)
    found: list[LogRecord] = []
    end = time.monotonic() + 120
    while len(found) < n and time.monotonic() < end:
        for batch in consumer.poll(timeout_ms=500).values():
            for record in batch:
                export = ExportLogsServiceRequest.FromString(record.value)
                found += [
                    one
                    for resource in export.resource_logs
                    for scope in resource.scope_logs
                    for one in scope.log_records
                ]
    consumer.close()
    return found


def test_a_collector_that_comes_late_has_every_verdict_under_its_span(
    tmp_path: Path, kafka: str, collector: Collector
) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.create_topics([NewTopic(TOPIC, 1, 1)])
    admin.close()
    spans = made_spans(N)
    house = House(tmp_path, otlp_url=f"http://127.0.0.1:{collector.port}")
    house.add(spans)
    house.start()
    try:
        house.until(lambda: len(house.kinds()) == N)
        assert house.lags().get("otlp", N) == N, "nobody took them yet"
        collector.start()
        house.until(lambda: house.lags() == {"otlp": 0})
    finally:
        house.kill()
    found = events(kafka, N)
    told = [attributes(record) for record in found]
    with reading(house.engine) as connection:
        rows = results.unsent(connection, after=0, up_to=10**9, limit=1_000)
    assert len(rows) == N
    keys = [one["candor.verdict.key"] for one in told]
    assert len(set(keys)) == len(keys) == N
    assert {record.event_name for record in found} == {"gen_ai.evaluation.result"}
    known = dict(spans)
    for record, one in zip(found, told, strict=True):
        trace = record.trace_id.hex()
        assert record.span_id.hex() == known[trace]
        assert one["gen_ai.response.id"] == trace
        assert one["gen_ai.evaluation.score.label"] == house.kinds()[trace]
    in_order = [row.value.find(key.encode()) >= 0 for row, key in zip(rows, keys, strict=True)]
    assert all(in_order), "in the order of the outbox"
    house.engine.dispose()
