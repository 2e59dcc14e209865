"""Batches and transactions of Apache Kafka: every codec is read, what was aborted is not, lag ends at 0."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition, codec
from kafka.admin import KafkaAdminClient
from sqlalchemy import select

from monitor.ingest.connection import connect
from monitor.ingest.consumer import KafkaSource
from monitor.ingest.options import KafkaOptions
from monitor.ingest.source import Partition, Record
from monitor.store.engine import reading
from monitor.store.schema import dead_letters, responses
from tests.monitor.ingest.test_decode import RESPONSE, dumped
from tests.system.worker_run import Run

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


def opened(kafka: str, topic: str) -> KafkaSource:
    options = KafkaOptions(bootstrap_servers=kafka, group_id=f"group-{topic}")
    connection = connect(options)
    connection.ensure_topics([topic], partitions=1)
    return KafkaSource(connection, [topic], options)


def read(source: KafkaSource, n: int, timeout_s: float = 300.0) -> list[Record]:
    found: list[Record] = []
    end = time.monotonic() + timeout_s
    while len(found) < n and time.monotonic() < end:
        poll = source.poll(0.2, 100)
        for partition in poll.assigned:
            source.seek(partition, 0)
        found += [record for records in poll.records.values() for record in records]
    return found


def committed(admin: KafkaAdminClient, partition: TopicPartition) -> int:
    group = f"group-{partition.topic}"
    found = admin.list_group_offsets({group: [partition]})[group]
    return int(found[partition].offset) if partition in found else -1


def produce(kafka: str, topic: str, name: str | None, values: list[bytes], **client: Any) -> None:
    producer = KafkaProducer(
        bootstrap_servers=kafka, compression_type=name, linger_ms=200, **client
    )
    for value in values:
        producer.send(topic, value=value)
    producer.flush()
    producer.close()


@pytest.mark.parametrize("name", ["gzip", "snappy", "lz4", "zstd"])
def test_every_codec_is_read(kafka: str, name: str) -> None:
    source = opened(kafka, f"codec-{name}")
    values = [b"%d " % i * 100 for i in range(200)]
    produce(kafka, f"codec-{name}", name, values)
    assert [record.value for record in read(source, 200)] == values
    source.close()


def test_a_batch_without_its_library_is_passed_over(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened(kafka, "without-library")
    produce(kafka, "without-library", "zstd", [b"z" * 90] * 10)
    produce(kafka, "without-library", None, [b"behind"])
    monkeypatch.setattr(codec, "has_zstd", lambda: False)
    found = read(source, 11)
    assert [record.offset for record in found] == list(range(11))
    assert [record.value for record in found] == [*[None] * 10, b"behind"]
    source.close()


def test_aborted_records_are_not_read_and_markers_are_no_lag(kafka: str) -> None:
    source = opened(kafka, "transactions")
    producer = KafkaProducer(bootstrap_servers=kafka, transactional_id="t-1")
    producer.init_transactions()
    for value, is_kept in ((b"no", False), (b"yes", True), (b"never", False), (b"also", True)):
        producer.begin_transaction()
        producer.send("transactions", value=value)
        producer.flush()
        if is_kept:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    found = read(source, 2)
    assert [record.value for record in found] == [b"yes", b"also"]
    end = time.monotonic() + 20
    while source.lag() != {"transactions": 0} and time.monotonic() < end:
        assert source.poll(0.2, 100).records == {}
    assert source.lag() == {"transactions": 0}
    partition, shown = Partition("transactions", 0), TopicPartition("transactions", 0)
    source.commit({partition: found[-1].offset + 1})
    producer.begin_transaction()
    producer.send("transactions", value=b"more")
    producer.commit_transaction()
    (more,) = read(source, 1)
    source.commit({partition: more.offset + 1})
    with KafkaAdminClient(bootstrap_servers=kafka) as admin:
        end = time.monotonic() + 20
        while committed(admin, shown) != more.offset + 2 and time.monotonic() < end:
            source.poll(0.2, 100)
            source.lag()
        assert committed(admin, shown) == more.offset + 2, "the marker is no lag for others either"
    producer.begin_transaction()
    producer.send("transactions", value=b"open")
    producer.flush()
    assert source.poll(1.0, 100).records == {}
    producer.commit_transaction()
    assert [record.value for record in read(source, 1)] == [b"open"]
    producer.close()
    source.close()


def test_a_worker_accounts_for_every_codec_and_for_what_is_no_record(
    kafka: str, tmp_path: Path
) -> None:
    run = Run(kafka, tmp_path, "codecs")
    names = ["gzip", "snappy", "lz4", "zstd"]
    try:
        process = run.start()
        for name in names:
            values = [
                dumped(RESPONSE | {"created_at": now()}, response_id=f"{name}{i}") for i in range(9)
            ]
            produce(kafka, run.topics[0], name, [*values, b"\xff" * 100])
        run.wait(40, process)
        with reading(run.engine) as connection:
            kept = connection.execute(select(responses.c.response_id)).scalars().all()
            refused = Counter(connection.execute(select(dead_letters.c.reason)).scalars())
        assert sorted(kept) == sorted(f"{name}{i}" for name in names for i in range(9))
        assert refused == {"not_json": 4}
    finally:
        run.end()


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
