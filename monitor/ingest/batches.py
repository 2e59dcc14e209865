"""Kafka's record batches: which codecs can be unpacked, and where one lies that cannot."""

from __future__ import annotations

from typing import Any

import msgspec
from kafka import TopicPartition, codec
from kafka.errors import CorruptRecordError

_CODECS = {
    "gzip": codec.has_gzip,
    "snappy": codec.has_snappy,
    "lz4": codec.has_lz4,
    "zstd": codec.has_zstd,
}
_UNPACKING = "_unpack_records"


class BrokenBatch(msgspec.Struct, frozen=True):
    """Offsets `first` to `next` (exclusive) of a partition that cannot be unpacked.

    `may_be_well` when it is damaged so that another fetch may bring it whole.
    """

    partition: TopicPartition
    first: int
    next: int
    why: str
    may_be_well: bool


def missing_codecs() -> list[str]:
    """Codecs of Kafka's producers for which this environment has no library."""
    return [name for name, is_there in _CODECS.items() if not is_there()]


def broken_batch(error: Exception) -> BrokenBatch | None:
    """The batch on which a poll failed; None when it failed on something else.

    The client's error names neither partition nor offset; they are read from the frame that was
    unpacking, whose half-read fetch is given up: the client would go on with it for ever.
    """
    trace, found = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_name == _UNPACKING:
            found = trace.tb_frame.f_locals
        trace = trace.tb_next
    if found is None:
        return None
    fetch, batch = found["self"], found.get("batch")
    first = int(fetch.next_fetch_offset)
    fetch.drain()
    # What the checksum covers cannot be trusted where it does not hold: one offset at a time.
    is_damaged = isinstance(error, CorruptRecordError) and "crc" in str(error).lower()
    return BrokenBatch(
        fetch.topic_partition,
        first,
        first + 1 if is_damaged else max(first + 1, _end(batch)),
        f"the batch cannot be unpacked ({type(error).__name__}): {error}"[:400],
        is_damaged,
    )


def _end(batch: Any) -> int:
    try:
        return int(batch.next_offset)
    except (AttributeError, NotImplementedError):
        return 0
