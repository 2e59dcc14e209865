"""A broker in memory that can rebalance, fail and forget."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from monitor.ingest.source import Partition, Poll, Record
from monitor.store.outbox import OutboxRow, Published

RESPONSES, FEEDBACK = "assistant.responses", "assistant.feedback"


class MemoryBroker:
    """Topics of partitions of records; a source for each member, rebalanced by the test."""

    def __init__(self, cluster_id: str = "memory-1", partitions: int = 2) -> None:
        self.cluster_id = cluster_id
        self.partitions = partitions
        self.logs: dict[Partition, list[bytes | None]] = defaultdict(list)
        self.members: list[MemorySource] = []

    def produce(self, topic: str, value: bytes | None, key: str = "") -> None:
        number = int(hashlib.sha256(key.encode()).hexdigest(), 16) % self.partitions
        self.logs[Partition(topic, number)].append(value)

    def all_partitions(self) -> list[Partition]:
        topics = (RESPONSES, FEEDBACK)
        return [Partition(topic, n) for topic in topics for n in range(self.partitions)]

    def join(self) -> MemorySource:
        member = MemorySource(self)
        self.members.append(member)
        self.rebalance()
        return member

    def leave(self, member: MemorySource) -> None:
        self.members.remove(member)
        self.rebalance()

    def rebalance(self) -> None:
        """Deal the partitions out anew; members notice at their next poll."""
        for member in self.members:
            member.assignment = set()
        for i, partition in enumerate(self.all_partitions()):
            if self.members:
                self.members[i % len(self.members)].assignment.add(partition)


class MemorySource:
    """A member of the group of a `MemoryBroker`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.cluster_id = broker.cluster_id
        self.assignment: set[Partition] = set()
        self.positions: dict[Partition, int] = {}
        self.paused: set[Partition] = set()
        self.committed: dict[Partition, int] = {}

    def poll(self, timeout_s: float, max_records: int) -> Poll:
        revoked = set(self.positions) - self.assignment
        for partition in revoked:
            del self.positions[partition]
        records: dict[Partition, list[Record]] = {}
        left = max_records
        for partition in sorted(set(self.positions) - self.paused):
            start, log = self.positions[partition], self.broker.logs[partition]
            batch = [Record(start + i, v) for i, v in enumerate(log[start : start + left])]
            if batch:
                records[partition] = batch
                self.positions[partition] = start + len(batch)
                left -= len(batch)
            if left <= 0:
                break
        if not records:
            time.sleep(min(timeout_s, 0.001))
        assigned = self.assignment - set(self.positions)
        return Poll(tuple(sorted(revoked)), tuple(sorted(assigned)), records)

    def seek(self, partition: Partition, offset: int) -> None:
        self.positions[partition] = offset

    def forget(self, partition: Partition) -> None:
        self.positions.pop(partition, None)

    def pause(self, partitions: Collection[Partition]) -> None:
        self.paused = set(partitions)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self.committed |= dict(offsets)

    def lag(self) -> Mapping[str, int]:
        return {}

    def close(self) -> None:
        if self in self.broker.members:
            self.broker.leave(self)


class MemorySink:
    """Acknowledges the first `accept` rows of each call; puts input topics into a broker."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.cluster_id = broker.cluster_id
        self.sent: list[OutboxRow] = []
        self.accept = 10**9

    def send(self, rows: Sequence[OutboxRow]) -> list[Published]:
        taken = list(rows)[: self.accept]
        self.sent += taken
        published = []
        for row in taken:
            log = self.broker.logs[Partition(row.topic, 0)]
            log.append(row.value)
            published.append(Published(row.id, self.cluster_id, 0, len(log) - 1))
        return published

    def close(self) -> None:
        pass
