"""Compressed batches are read, and one that cannot be unpacked is passed over and accounted for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaProducer, codec
from kafka.record.default_records import DefaultRecordBatch

from monitor.ingest import Partition, Record
from monitor.ingest.batches import missing_codecs
from monitor.ingest.connection import Connection, connect
from monitor.ingest.consumer import KafkaSource
from monitor.ingest.embedded import EmbeddedBroker
from monitor.ingest.options import KafkaOptions


@pytest.fixture(scope="module")
def broker() -> Iterator[Connection]:
    with EmbeddedBroker() as running:
        yield connect(KafkaOptions(), running.bootstrap_servers)


def produce(broker: Connection, topic: str, codec_name: str | None, *values: bytes) -> None:
    producer = KafkaProducer(**broker.client, compression_type=codec_name, linger_ms=200)
    sent = [producer.send(topic, value=value, partition=0) for value in values]
    producer.flush()
    assert all(future.get(5) for future in sent)
    producer.close()


def read(source: KafkaSource, topic: str, n: int) -> list[Record]:
    found: list[Record] = []
    for _ in range(100):
        poll = source.poll(0.1, 100)
        for partition in poll.assigned:
            source.seek(partition, 0)
        found += poll.records.get(Partition(topic, 0), [])
        if len(found) >= n:
            break
    return found


@pytest.mark.parametrize("name", ["gzip", "snappy", "lz4", "zstd"])
def test_every_codec_of_producers_is_read(broker: Connection, name: str) -> None:
    topic = f"codec-{name}"
    broker.ensure_topics([topic], 1)
    values = [b"%d " % i * 50 for i in range(20)]
    produce(broker, topic, name, *values)
    source = KafkaSource(broker, [topic], KafkaOptions())
    assert [record.value for record in read(source, topic, 20)] == values
    source.close()
    assert missing_codecs() == []


def test_a_batch_without_its_library_is_passed_over_with_its_offsets(
    broker: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.ensure_topics(["broken"], 1)
    produce(broker, "broken", None, b"before")
    produce(broker, "broken", "lz4", *[b"x" * 90] * 5)
    produce(broker, "broken", None, b"behind")
    monkeypatch.setattr(codec, "has_lz4", lambda: False)
    source = KafkaSource(broker, ["broken"], KafkaOptions())
    found = read(source, "broken", 7)
    assert [record.offset for record in found] == list(range(7))
    assert [record.value for record in found] == [b"before", *[None] * 5, b"behind"]
    assert all("lz4" in (record.unreadable or "") for record in found[1:6])
    assert source.lag() == {"broken": 0}
    source.close()


@pytest.mark.parametrize("error", [ValueError, OSError, RuntimeError, AssertionError, MemoryError])
def test_whatever_an_unpacker_raises_concerns_its_batch_alone(
    broker: Connection, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    topic = f"raises-{error.__name__}"
    broker.ensure_topics([topic], 1)
    produce(broker, topic, "gzip", b"a" * 50, b"b" * 50)
    produce(broker, topic, None, b"behind")
    fail(monkeypatch, lambda: error("cannot be unpacked"))
    source = KafkaSource(broker, [topic], KafkaOptions())
    found = read(source, topic, 3)
    assert [record.value for record in found] == [None, None, b"behind"]
    assert error.__name__ in (found[0].unreadable or "")
    source.close()


def test_damage_on_the_way_is_read_again_and_damage_in_the_log_is_passed_over(
    broker: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.ensure_topics(["damaged"], 1)
    produce(broker, "damaged", None, b"one")
    produce(broker, "damaged", None, b"two")
    produce(broker, "damaged", None, b"three")
    seen: list[int] = []
    sound = DefaultRecordBatch.validate_crc

    def check(batch: DefaultRecordBatch) -> bool:
        offset = batch.base_offset
        seen.append(offset)
        hurt = offset == 1 or (offset == 0 and seen.count(0) == 1)
        return bool(sound(batch)) and not hurt

    monkeypatch.setattr(DefaultRecordBatch, "validate_crc", check)
    source = KafkaSource(broker, ["damaged"], KafkaOptions())
    found = read(source, "damaged", 3)
    assert [(record.offset, record.value) for record in found] == [
        (0, b"one"),
        (1, None),
        (2, b"three"),
    ]
    source.close()


def test_a_broken_batch_waits_for_nobody(
    broker: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.ensure_topics(["sound", "hurt"], 1)
    fail(monkeypatch, lambda: ValueError("cannot be unpacked"))
    source = KafkaSource(broker, ["sound", "hurt"], KafkaOptions())
    for i in range(3):
        produce(broker, "hurt", "gzip", b"h" * 50)
        produce(broker, "sound", None, b"%d" % i)
    found = {"sound": [], "hurt": []}  # type: dict[str, list[Record]]
    end = time.monotonic() + 30
    while sum(map(len, found.values())) < 6 and time.monotonic() < end:
        poll = source.poll(0.1, 100)
        for partition in poll.assigned:
            source.seek(partition, 0)
        for partition, records in poll.records.items():
            found[partition.topic] += records
    assert [record.value for record in found["sound"]] == [b"0", b"1", b"2"]
    assert [record.offset for record in found["hurt"]] == [0, 1, 2]
    source.close()


def fail(monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]) -> None:
    """Every compressed batch fails as an unpacker would."""
    sound = DefaultRecordBatch._maybe_uncompress

    def unpack(batch: DefaultRecordBatch) -> None:
        if batch.compression_type:
            raise error()
        sound(batch)

    monkeypatch.setattr(DefaultRecordBatch, "_maybe_uncompress", unpack)
