"""The embedded broker: up, forgetful, and gone with its parent; and the source over it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from kafka import KafkaProducer

from evidence import BadInputError, UnreachableError
from monitor.ingest import Partition, Record
from monitor.ingest.connection import connect
from monitor.ingest.consumer import KafkaSource
from monitor.ingest.embedded import EmbeddedBroker
from monitor.ingest.options import KafkaOptions


def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def listening(servers: str) -> bool:
    host, port = servers.split(":")
    try:
        socket.create_connection((host, int(port)), 0.2).close()
    except OSError:
        return False
    return True


def read(source: KafkaSource, n: int) -> dict[Partition, list[Record]]:
    found: dict[Partition, list[Record]] = {}
    end = time.monotonic() + 10
    while sum(map(len, found.values())) < n and time.monotonic() < end:
        for partition, records in source.poll(0.1, 100).records.items():
            found.setdefault(partition, []).extend(records)
    return found


def test_records_pass_through_by_hand_assigned_partitions_and_offsets_are_ours() -> None:
    with EmbeddedBroker() as broker:
        connection = connect(KafkaOptions(), broker.bootstrap_servers)
        assert connection.embedded
        assert connection.cluster_id == broker.cluster_id
        connection.ensure_topics(["in", "other"], 2)
        connection.ensure_topics(["in", "other"], 2)
        producer = KafkaProducer(**connection.client)
        for i in range(10):
            producer.send("in", value=b"%d" % i, partition=i % 2)
        producer.flush()
        source = KafkaSource(connection, ["in", "other"], KafkaOptions())
        first = source.poll(0.2, 100)
        assert first.assigned == tuple(Partition(t, n) for t in ("in", "other") for n in (0, 1))
        assert first.records == {}
        for partition in first.assigned:
            source.seek(partition, 3 if partition == Partition("in", 0) else 0)
        found = read(source, 7)
        assert [(r.offset, r.value) for r in found[Partition("in", 0)]] == [(3, b"6"), (4, b"8")]
        assert [r.offset for r in found[Partition("in", 1)]] == [0, 1, 2, 3, 4]
        assert source.lag() == {"in": 0, "other": 0} or source.lag() == {"in": 0}
        source.pause([Partition("in", 1)])
        producer.send("in", value=b"late", partition=1).get(5)
        assert source.poll(0.3, 100).records == {}
        source.pause([])
        assert read(source, 1)[Partition("in", 1)][0].value == b"late"
        source.forget(Partition("in", 0))
        assert source.poll(0.1, 100).assigned == (Partition("in", 0),)
        source.close()
        producer.close()


def test_each_start_is_another_cluster() -> None:
    with EmbeddedBroker() as one:
        first = connect(KafkaOptions(), one.bootstrap_servers).cluster_id
    assert until(lambda: not listening(one.bootstrap_servers))
    with EmbeddedBroker() as two:
        assert connect(KafkaOptions(), two.bootstrap_servers).cluster_id != first


def test_the_broker_ends_when_its_parent_is_killed() -> None:
    program = (
        "from monitor.ingest.embedded import EmbeddedBroker; import time\n"
        "print(EmbeddedBroker().bootstrap_servers, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    servers = parent.stdout.readline().strip()
    assert listening(servers)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert until(lambda: not listening(servers))


def test_no_broker_is_unreachable_and_no_setting_is_bad_input() -> None:
    with pytest.raises(BadInputError, match="bootstrap_servers"):
        connect(KafkaOptions())
    with pytest.raises(BadInputError, match="sasl"):
        connect(KafkaOptions(bootstrap_servers="127.0.0.1:1", security_protocol="SASL_SSL"))


@pytest.mark.slow
def test_an_absent_cluster_is_unreachable() -> None:
    with pytest.raises(UnreachableError, match="Kafka"):
        connect(KafkaOptions(bootstrap_servers="127.0.0.1:1"))
