"""The outbox: copies for topics, written with the effects and published at least once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection, Exists, bindparam, exists, insert, select, update

from monitor.store.schema import input_offsets, is_unpublished, outbox

VERDICTS_TOPIC = "honesty.verdicts"
ALARMS_TOPIC = "honesty.alarms"
DEAD_LETTERS_TOPIC = "honesty.deadletter"
GATES_TOPIC = "honesty.gates"
OUTPUT_TOPICS = (VERDICTS_TOPIC, ALARMS_TOPIC, GATES_TOPIC, DEAD_LETTERS_TOPIC)


class OutboxRow(msgspec.Struct, frozen=True):
    """A record that waits for its topic."""

    id: int
    topic: str
    key: bytes | None
    value: bytes


class Published(msgspec.Struct, frozen=True):
    """Where the broker put an outbox row."""

    id: int
    cluster_id: str
    partition: int
    offset: int


def add(
    connection: Connection,
    topic: str,
    records: Iterable[tuple[bytes | None, bytes]],
    *,
    now_s: float,
) -> None:
    """Queue (key, value) records for a topic, in the transaction that caused them."""
    rows = [
        {"topic": topic, "key": key, "value": value, "created_at_s": now_s}
        for key, value in records
    ]
    if rows:
        connection.execute(insert(outbox), rows)


def unpublished(connection: Connection, limit: int) -> list[OutboxRow]:
    """The oldest rows that no broker acknowledged."""
    query = (
        select(outbox.c.id, outbox.c.topic, outbox.c.key, outbox.c.value)
        .where(is_unpublished)
        .order_by(outbox.c.id)
        .limit(limit)
    )
    return [OutboxRow(*row) for row in connection.execute(query)]


def mark_published(connection: Connection, acknowledged: Sequence[Published]) -> None:
    """Record where the broker put the rows."""
    if not acknowledged:
        return
    connection.execute(
        update(outbox)
        .where(outbox.c.id == bindparam("row"))
        .values(
            published_cluster_id=bindparam("cluster"),
            published_partition=bindparam("number"),
            published_offset=bindparam("place"),
        ),
        [
            {"row": a.id, "cluster": a.cluster_id, "number": a.partition, "place": a.offset}
            for a in acknowledged
        ],
    )


def reset_forgotten(connection: Connection, cluster_id: str, input_topics: Sequence[str]) -> int:
    """Queue again what another cluster took and was not ingested from it; returns how many.

    A record of an input topic is durable here from its 202 on; a broker in memory may have
    forgotten it before a worker read it.
    """
    return connection.execute(
        update(outbox)
        .where(
            outbox.c.topic.in_(list(input_topics)),
            outbox.c.published_cluster_id.is_not(None),
            outbox.c.published_cluster_id != cluster_id,
            ~_ingested(),
        )
        .values(published_cluster_id=None, published_partition=None, published_offset=None)
    ).rowcount


def drop_ingested(connection: Connection, input_topics: Sequence[str]) -> int:
    """Delete rows of input topics that were read back and stored; returns how many."""
    return connection.execute(
        outbox.delete().where(outbox.c.topic.in_(list(input_topics)), _ingested())
    ).rowcount


def _ingested() -> Exists:
    table = input_offsets.c
    return exists().where(
        table.cluster_id == outbox.c.published_cluster_id,
        table.topic == outbox.c.topic,
        table.partition == outbox.c.published_partition,
        table.next_offset > outbox.c.published_offset,
    )
