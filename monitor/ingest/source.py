"""What the worker needs of a broker's consumer, whichever broker it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import msgspec


class Partition(msgspec.Struct, frozen=True, order=True):
    """A topic's partition in the source's cluster."""

    topic: str
    number: int


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as it came: nothing is known of it yet.

    `unreadable` says why the batch around it could not be unpacked; then there is no value.
    """

    offset: int
    value: bytes | None
    unreadable: str | None = None


class Poll(msgspec.Struct, frozen=True):
    """What one poll brought.

    Parameters
    ----------
    revoked
        Partitions that are ours no longer: work on them is to be dropped.
    assigned
        Partitions that became ours: no record of them comes before `seek`.
    records
        In offset order by partition.
    """

    revoked: tuple[Partition, ...] = ()
    assigned: tuple[Partition, ...] = ()
    records: Mapping[Partition, list[Record]] = msgspec.field(default_factory=dict)


class Source(Protocol):
    """A consumer whose offsets live with the caller."""

    @property
    def cluster_id(self) -> str:
        """The cluster's identity; another one has other offsets."""
        ...

    def poll(self, timeout_s: float, max_records: int) -> Poll:
        """Wait at most `timeout_s`. Raises UnreachableError when the broker is gone for good."""
        ...

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from `offset`; required once after each assignment."""
        ...

    def forget(self, partition: Partition) -> None:
        """Treat the partition as newly assigned at the next poll: its claim was lost."""
        ...

    def pause(self, partitions: Collection[Partition]) -> None:
        """Fetch from exactly these partitions no more; polls keep the membership alive."""
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tell the broker how far we are, for lag displays only; failures do not matter."""
        ...

    def lag(self) -> Mapping[str, int]:
        """Records by topic that the broker has beyond what was polled, as far as is known."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...
