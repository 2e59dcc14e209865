"""Input offsets and their fence: who may write the effects of a partition, and from where it reads."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, and_, select, update

from evidence import CandorError
from monitor.store.dialect import insert_new
from monitor.store.schema import input_offsets


class FencedError(CandorError):
    """Another worker was assigned the partition since: this write is lost, and rightly so."""


class Claim(msgspec.Struct, frozen=True):
    """The right to write the effects of one partition from `next_offset` on, while `fence` is the newest."""

    cluster_id: str
    topic: str
    partition: int
    fence: int
    next_offset: int


def claim(
    connection: Connection, cluster_id: str, topic: str, partition: int, *, now_s: float
) -> Claim:
    """Raise the fence of a partition, so that every older claim loses its next write."""
    key = {"cluster_id": cluster_id, "topic": topic, "partition": partition}
    fresh = {**key, "next_offset": 0, "fence": 0, "updated_at_s": now_s}
    insert_new(connection, input_offsets, [fresh], [input_offsets.c.partition])
    row = connection.execute(
        update(input_offsets)
        .where(*(input_offsets.c[name] == value for name, value in key.items()))
        .values(fence=input_offsets.c.fence + 1, updated_at_s=now_s)
        .returning(input_offsets.c.fence, input_offsets.c.next_offset)
    ).one()
    return Claim(cluster_id, topic, partition, row.fence, row.next_offset)


def advance(connection: Connection, held: Claim, next_offset: int, *, now_s: float) -> Claim:
    """Move the partition's offset, first thing in the transaction that writes the effects.

    Raises FencedError when the claim is not the newest or the offset is not where it left it.
    """
    table = input_offsets.c
    moved = connection.execute(
        update(input_offsets)
        .where(
            and_(
                table.cluster_id == held.cluster_id,
                table.topic == held.topic,
                table.partition == held.partition,
                table.fence == held.fence,
                table.next_offset == held.next_offset,
            )
        )
        .values(next_offset=next_offset, updated_at_s=now_s)
    )
    if moved.rowcount != 1:
        raise FencedError(f"lost {held.topic}/{held.partition} at offset {held.next_offset}")
    return msgspec.structs.replace(held, next_offset=next_offset)


def next_offset(connection: Connection, cluster_id: str, topic: str, partition: int) -> int | None:
    """Offset up to which a partition's effects are in the store; None if it was never read."""
    table = input_offsets.c
    query = select(table.next_offset).where(
        table.cluster_id == cluster_id, table.topic == topic, table.partition == partition
    )
    return connection.execute(query).scalar()
