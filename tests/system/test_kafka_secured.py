"""Apache Kafka behind TLS and SASL: the settings reach the client, and a wrong one is told without its secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evidence import UnreachableError
from monitor.ingest.connection import connect
from monitor.ingest.consumer import KafkaSource
from monitor.ingest.options import KafkaOptions
from monitor.jobs.sink import KafkaSink
from monitor.store.outbox import OutboxRow
from tests.system.certificates import SASL_PASSWORD, SASL_USER, RunningKafka, make_certificates

pytestmark = [pytest.mark.system]


def secured(server: RunningKafka, folder: Path, **changes: Any) -> KafkaOptions:
    password = folder / "password"
    password.write_text(SASL_PASSWORD + "\n")
    return KafkaOptions(
        bootstrap_servers=server.secured,
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username=SASL_USER,
        sasl_password_file=password,
        ssl_ca_file=server.ca_file,
    ).model_copy(update=changes)


def test_records_pass_over_tls_and_sasl(kafka_server: RunningKafka, tmp_path: Path) -> None:
    options = secured(kafka_server, tmp_path)
    connection = connect(options)
    connection.ensure_topics(["secured"], partitions=1)
    sink = KafkaSink(connection)
    sent = sink.send([OutboxRow(1, "secured", b"k", b"over tls")])
    sink.close()
    assert [one.offset for one in sent] == [0]
    source = KafkaSource(connection, ["secured"], options)
    found: list[bytes | None] = []
    for _ in range(100):
        poll = source.poll(0.3, 10)
        for partition in poll.assigned:
            source.seek(partition, 0)
        found += [record.value for records in poll.records.values() for record in records]
        if found:
            break
    source.close()
    assert found == [b"over tls"]


def test_a_wrong_password_and_a_foreign_authority_do_not_enter(
    kafka_server: RunningKafka, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not-the-password")
    with pytest.raises(UnreachableError) as refused:
        connect(secured(kafka_server, tmp_path, sasl_password_file=wrong))
    assert "not-the-password" not in str(refused.value)
    foreign = make_certificates(tmp_path, "foreign")
    with pytest.raises(UnreachableError):
        connect(secured(kafka_server, tmp_path, ssl_ca_file=foreign))
