"""The source over kafka-python: a consumer group on Kafka, partitions by hand on the embedded broker."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, RetriableError
from kafka.structs import OffsetAndMetadata

from evidence import UnreachableError
from monitor.ingest.batches import BrokenBatch, broken_batch
from monitor.ingest.connection import Connection
from monitor.ingest.options import KafkaOptions
from monitor.ingest.source import Partition, Poll, Record

log = logging.getLogger(__name__)

_MAX_POLL_INTERVAL_MS = 300_000


class KafkaSource:
    """A `Source`. Raises UnreachableError when the broker does not answer at the start.

    Parameters
    ----------
    topics
        The input topics.
    options
        Group, member and session; unused on the embedded broker.
    """

    def __init__(
        self, connection: Connection, topics: Sequence[str], options: KafkaOptions
    ) -> None:
        self._connection = connection
        self._claimed: set[TopicPartition] = set()
        self._revoked: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, int] = {}
        self._shown: dict[TopicPartition, int] = {}
        self._damaged: tuple[TopicPartition, int] | None = None
        try:
            self._consumer = KafkaConsumer(
                **connection.client,
                **({} if connection.embedded else _membership(options)),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                max_poll_interval_ms=_MAX_POLL_INTERVAL_MS,
            )
            if connection.embedded:
                self._consumer.assign(self._all_partitions(topics))
            else:
                self._consumer.subscribe(topics, listener=_Listener(self))
        except KafkaError as error:
            raise UnreachableError("Kafka", f"{connection.bootstrap_servers}: {error}") from error

    @property
    def cluster_id(self) -> str:
        return self._connection.cluster_id

    def poll(self, timeout_s: float, max_records: int) -> Poll:
        records = self._fetch(timeout_s, max_records)
        assignment = set(self._consumer.assignment())
        revoked = self._revoked | (self._claimed - assignment)
        self._revoked = set()
        self._claimed -= revoked
        # What was fetched before the first seek came from a position that is not ours.
        records = {tp: batch for tp, batch in records.items() if tp in self._claimed}
        self._positions |= {tp: batch[-1].offset + 1 for tp, batch in records.items()}
        return Poll(
            tuple(sorted(map(_ours, revoked))),
            tuple(sorted(map(_ours, assignment - self._claimed))),
            {_ours(tp): batch for tp, batch in records.items()},
        )

    def _fetch(self, timeout_s: float, max_records: int) -> dict[TopicPartition, list[Record]]:
        try:
            fetched = self._consumer.poll(int(timeout_s * 1000), max_records=max_records)
        except Exception as error:
            broken = broken_batch(error)
            if broken is not None:
                return self._pass_over(broken)
            if isinstance(error, RetriableError):
                log.warning("poll failed, trying again: %s", error)
                return {}
            if isinstance(error, KafkaError):
                raise UnreachableError("Kafka", str(error)) from error
            raise
        return {tp: [Record(r.offset, r.value) for r in batch] for tp, batch in fetched.items()}

    def _pass_over(self, broken: BrokenBatch) -> dict[TopicPartition, list[Record]]:
        """The offsets of a batch that cannot be unpacked, as records that say so."""
        tp, place = broken.partition, (broken.partition, broken.first)
        if tp not in self._claimed:
            return {}
        if broken.may_be_well and self._damaged != place:
            self._damaged = place
            self._consumer.seek(tp, broken.first)
            return {}
        log.error(
            "%s, partition %d: offsets %d to %d are passed over: %s",
            tp.topic,
            tp.partition,
            broken.first,
            broken.next - 1,
            broken.why,
        )
        self._consumer.seek(tp, broken.next)
        offsets = range(broken.first, broken.next)
        return {tp: [Record(offset, None, broken.why) for offset in offsets]}

    def seek(self, partition: Partition, offset: int) -> None:
        tp = _theirs(partition)
        self._consumer.seek(tp, offset)
        self._claimed.add(tp)
        self._positions[tp] = offset

    def forget(self, partition: Partition) -> None:
        self._claimed.discard(_theirs(partition))

    def pause(self, partitions: Collection[Partition]) -> None:
        wanted = {_theirs(p) for p in partitions} & set(self._consumer.assignment())
        paused = set(self._consumer.paused())
        self._consumer.pause(*(wanted - paused))
        self._consumer.resume(*(paused - wanted))

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self._show({_theirs(partition): offset for partition, offset in offsets.items()})

    def _show(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self._connection.embedded:
            return
        owned = self._consumer.assignment()
        shown = {tp: offset for tp, offset in offsets.items() if tp in owned}
        if shown:
            self._consumer.commit_async(
                {tp: OffsetAndMetadata(offset, "", -1) for tp, offset in shown.items()}
            )
            self._shown |= shown

    def lag(self) -> Mapping[str, int]:
        by_topic: dict[str, int] = {}
        for tp in self._claimed & set(self._consumer.assignment()):
            end = self._consumer.highwater(tp)
            if end is not None:
                behind = max(0, end - self._positions.get(tp, end))
                if behind:
                    passed = self._passed(tp)
                    behind = max(0, end - passed)
                    if passed > self._positions[tp] == self._shown.get(tp):
                        # All records are accounted for; others who look at lag see no marker either.
                        self._positions[tp] = passed
                        self._show({tp: passed})
                by_topic[tp.topic] = by_topic.get(tp.topic, 0) + behind
        return by_topic

    def _passed(self, tp: TopicPartition) -> int:
        """Where the client reads on: behind markers and aborted records, which are none of ours."""
        held = self._positions[tp]
        try:
            return max(held, self._consumer.position(tp, timeout_ms=0) or held)
        except KafkaError:
            return held

    def close(self) -> None:
        self._consumer.close(autocommit=False)

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Note revoked partitions; called inside `poll`, possibly from the client's own thread."""
        self._revoked |= set(partitions)

    def _all_partitions(
        self, topics: Sequence[str], timeout_s: float = 10.0
    ) -> list[TopicPartition]:
        end = time.monotonic() + timeout_s
        found: list[TopicPartition] = []
        for topic in topics:
            numbers = self._consumer.partitions_for_topic(topic)
            while not numbers:
                if time.monotonic() > end:
                    raise UnreachableError("embedded broker", f"topic {topic} did not appear")
                time.sleep(0.02)
                numbers = self._consumer.partitions_for_topic(topic)
            found += [TopicPartition(topic, number) for number in sorted(numbers)]
        return found


def _membership(options: KafkaOptions) -> dict[str, Any]:
    session_ms = int(options.session_timeout_s * 1000)
    return {
        "group_id": options.group_id,
        "group_instance_id": options.instance_id,
        "session_timeout_ms": session_ms,
        "heartbeat_interval_ms": session_ms // 4,
    }


class _Listener(ConsumerRebalanceListener):
    def __init__(self, source: KafkaSource) -> None:
        self._source = source

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._source.lost(revoked)

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        log.info("assigned %d partitions", len(assigned))


def _ours(tp: TopicPartition) -> Partition:
    return Partition(tp.topic, tp.partition)


def _theirs(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)
