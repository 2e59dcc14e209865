"""Records to Kafka with the acknowledgement of all in-sync replicas, within a bounded queue."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError

from evidence import CandorError, UnreachableError
from monitor.ingest.connection import Connection
from monitor.tap.options import TapOptions

log = logging.getLogger(__name__)

_RETRY_S = 2.0


class QueueFullError(CandorError):
    """More records wait for the broker than the queue holds."""


class Outgoing(msgspec.Struct, frozen=True):
    """One record for a topic."""

    topic: str
    key: bytes
    value: bytes


class Delivery:
    """Sends records and waits until the broker has them; connects, and connects again, by itself.

    The assistant must not wait for a broker to start, so a broker that is away is no error here: until
    it answers, `send` raises UnreachableError.

    Parameters
    ----------
    connect
        Reaches the broker; raises UnreachableError.
    """

    def __init__(self, connect: Callable[[], Connection], options: TapOptions) -> None:
        self._connect = connect
        self._options = options
        self._lock = threading.Lock()
        self._waiting = 0
        self._producer: KafkaProducer | None = None
        self._problem = "not connected yet"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_trying, name="tap-connect", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Records that the broker has not acknowledged."""
        return self._waiting

    @property
    def problem(self) -> str | None:
        """Why nothing can be sent; None while the broker is connected."""
        return self._problem if self._producer is None else None

    def send(self, records: Sequence[Outgoing]) -> None:
        """Return once every record is durable on all in-sync replicas.

        Raises QueueFullError when the queue has no room, and UnreachableError when the broker did not
        acknowledge in time: some may have arrived, and sending them again is harmless.
        """
        with self._lock:
            if self._waiting + len(records) > self._options.max_queue_records:
                raise QueueFullError(f"{self._waiting} records wait for the broker")
            self._waiting += len(records)
        try:
            self._send(records)
        finally:
            with self._lock:
                self._waiting -= len(records)

    def close(self) -> None:
        """Send what waits and disconnect."""
        self._stop.set()
        self._thread.join(timeout=15)
        if self._producer is not None:
            self._producer.close(timeout=5)

    def _send(self, records: Sequence[Outgoing]) -> None:
        producer = self._producer
        if producer is None:
            raise UnreachableError("Kafka", self._problem)
        end = time.monotonic() + self._options.delivery_timeout_s
        try:
            sent = [producer.send(r.topic, value=r.value, key=r.key) for r in records]
            for future in sent:
                future.get(timeout=max(0.0, end - time.monotonic()))
        except KafkaError as error:
            raise UnreachableError("Kafka", f"not acknowledged: {error}") from error

    def _keep_trying(self) -> None:
        while not self._stop.is_set():
            try:
                self._producer = self._open()
            except CandorError as error:
                self._problem = str(error)
                log.warning("trying again: %s", error)
                self._stop.wait(_RETRY_S)
            else:
                log.info("connected to Kafka")
                return

    def _open(self) -> KafkaProducer:
        connection = self._connect()
        timeout_ms = int(self._options.delivery_timeout_s * 1000)
        try:
            return KafkaProducer(
                **connection.client,
                acks="all",
                linger_ms=5,
                max_block_ms=timeout_ms,
                request_timeout_ms=timeout_ms,
                delivery_timeout_ms=timeout_ms + 1000,
                max_request_size=8_000_000,
            )
        except KafkaError as error:
            raise UnreachableError("Kafka", str(error)) from error
