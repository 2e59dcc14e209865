"""Where published records go, and the sink over kafka-python."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from kafka import KafkaProducer
from kafka.errors import KafkaError

from evidence import UnreachableError
from monitor.ingest.connection import Connection
from monitor.jobs.deadline import Deadline
from monitor.store.outbox import OutboxRow, Published


class Sink(Protocol):
    """A producer that says where its records went."""

    @property
    def cluster_id(self) -> str:
        """The cluster that acknowledges."""
        ...

    def send(self, rows: Sequence[OutboxRow]) -> list[Published]:
        """Send in order and wait; returns the rows before the first of their topic that was not taken.

        Rows behind such a one are left out even if the broker has them, so that they are sent again
        after it and the last copy of a key is the newest. Raises UnreachableError when none is left.
        """
        ...

    def close(self) -> None:
        """Flush and disconnect."""
        ...


class KafkaSink:
    """A `Sink` with acks from all in-sync replicas. Raises UnreachableError at the start."""

    def __init__(self, connection: Connection, send_timeout_s: float = 30.0) -> None:
        self._connection = connection
        self._send_timeout_s = send_timeout_s
        try:
            self._producer = KafkaProducer(
                **connection.client,
                acks="all",
                linger_ms=5,
                max_block_ms=10_000,
                max_request_size=8_000_000,
            )
        except KafkaError as error:
            raise UnreachableError("Kafka", f"{connection.bootstrap_servers}: {error}") from error

    @property
    def cluster_id(self) -> str:
        return self._connection.cluster_id

    def send(self, rows: Sequence[OutboxRow]) -> list[Published]:
        sent: list[tuple[OutboxRow, Any]] = []
        acknowledged: list[Published] = []
        failure: KafkaError | None = None
        failed: set[str] = set()
        deadline = Deadline(self._send_timeout_s, time.monotonic)
        try:
            for row in rows:
                sent.append((row, self._producer.send(row.topic, value=row.value, key=row.key)))  # noqa: PERF401
        except KafkaError as error:
            failure = error
        for row, future in sent:
            try:
                where = future.get(timeout=deadline.left_s)
            except KafkaError as error:
                failure = error
                failed.add(row.topic)
                continue
            if row.topic not in failed:
                acknowledged.append(
                    Published(row.id, self.cluster_id, where.partition, where.offset)
                )
        if failure is not None and not acknowledged:
            raise UnreachableError("Kafka", str(failure)) from failure
        return acknowledged

    def close(self) -> None:
        try:
            self._producer.close(timeout=5)
        except KafkaError:  # what it still holds was not taken in time: the outbox has it
            self.abandon()

    def abandon(self) -> None:
        """End at once: whoever waits for an acknowledgement is told that there is none.

        For a cluster that is gone. Its producer would come back to the next one at this address, with records that were
        sent again meanwhile. `KafkaProducer.close` does not get so far where its flush fails.
        """
        self._producer._sender.force_close()
