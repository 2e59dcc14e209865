"""How far each receiver of results is in the outbox, what waits, and what is told beside a verdict."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from evidence import Purpose
from monitor.store.dialect import insert_new, key_rows
from monitor.store.intake import Key, unpack_body
from monitor.store.outbox import ALARMS_TOPIC, GATES_TOPIC, VERDICTS_TOPIC
from monitor.store.schema import (
    beside_live,
    outbox,
    responses,
    result_positions,
    result_waits,
    verdicts,
)

RESULT_TOPICS = (VERDICTS_TOPIC, ALARMS_TOPIC, GATES_TOPIC)
"""Topics whose records are results."""

_MOST_COUNTED = 100_000
_NOISE_OVER = 500


class ResultRow(msgspec.Struct, frozen=True):
    """A record of the outbox that is a result; `since_s` and `tries` of one that was tried and waits."""

    id: int
    topic: str
    value: bytes
    created_at_s: float
    since_s: float | None = None
    tries: int = 0


class Wait(msgspec.Struct, frozen=True):
    """A result that is tried again at a time."""

    outbox_id: int
    since_s: float
    tries: int
    next_at_s: float


class Lag(msgspec.Struct, frozen=True):
    """What a receiver has not had: records, counted up to 100 000, those that wait for their span among
    them, and when the oldest of them was made."""

    sink: str
    records: int
    waiting: int
    oldest_s: float | None


class Snapshot(msgspec.Struct, frozen=True):
    """The newest outbox row that is seen, the oldest transaction that runs, and the next one to come.

    All ids of transactions are 0 where writers take turns, as on SQLite.
    """

    newest_id: int
    oldest_running: int
    next_transaction: int


class Settled:
    """Up to which id the outbox is complete.

    On PostgreSQL a transaction may commit a row whose id is below one that is seen already; whoever
    passed it would never send it. An id is settled once every transaction has ended that ran when the
    id was first seen. Results are written after other rows of their transaction, so that it has its
    number before it takes an id.
    """

    def __init__(self) -> None:
        self._id = 0
        self._waiting: Snapshot | None = None

    def advance(self, seen: Snapshot) -> int:
        """The settled id, given what is seen now."""
        if seen.oldest_running == seen.next_transaction:
            self._id, self._waiting = max(self._id, seen.newest_id), None
        elif self._waiting is None:
            self._waiting = seen
        elif seen.oldest_running >= self._waiting.next_transaction:
            self._id, self._waiting = self._waiting.newest_id, seen
        return self._id


def snapshot(connection: Connection) -> Snapshot:
    """What this connection's snapshot sees."""
    newest = select(func.coalesce(func.max(outbox.c.id), 0)).scalar_subquery()
    if connection.dialect.name == "sqlite":
        return Snapshot(int(connection.execute(select(newest)).scalar_one()), 0, 0)
    first, last = (
        literal_column(f"pg_snapshot_{end}(pg_current_snapshot())::text::bigint", BigInteger)
        for end in ("xmin", "xmax")
    )
    newest_id, oldest_running, next_transaction = connection.execute(
        select(newest, first, last)
    ).one()
    return Snapshot(int(newest_id), int(oldest_running), int(next_transaction))


def position(connection: Connection, sink: str) -> int | None:
    """Where the sender of a receiver stands; None before its first result."""
    query = select(result_positions.c.outbox_id).where(result_positions.c.sink == sink)
    found = connection.execute(query).scalar()
    return None if found is None else int(found)


def move(connection: Connection, sink: str, outbox_id: int, *, now_s: float) -> None:
    """Everything up to this id is dealt with."""
    row = {"sink": sink, "outbox_id": outbox_id, "seen_at_s": now_s}
    if not insert_new(connection, result_positions, [row], [result_positions.c.sink]):
        connection.execute(
            update(result_positions)
            .where(result_positions.c.sink == sink)
            .values(outbox_id=outbox_id, seen_at_s=now_s)
        )


def forget_absent(connection: Connection, *, before_s: float) -> list[str]:
    """Forget receivers for which no sender worked since a time: nothing is kept for them any more."""
    absent = list(
        connection.execute(
            select(result_positions.c.sink).where(result_positions.c.seen_at_s < before_s)
        ).scalars()
    )
    for table in (result_positions, result_waits):
        connection.execute(delete(table).where(table.c.sink.in_(absent)))
    return sorted(absent)


def unsent(connection: Connection, *, after: int, up_to: int, limit: int) -> list[ResultRow]:
    """Results in order, from one id exclusive to another inclusive."""
    query = (
        _rows()
        .where(outbox.c.id > after, outbox.c.id <= up_to, outbox.c.topic.in_(RESULT_TOPICS))
        .order_by(outbox.c.id)
        .limit(limit)
    )
    return [
        ResultRow(row.id, row.topic, row.value, row.created_at_s)
        for row in connection.execute(query)
    ]


def due(connection: Connection, sink: str, *, now_s: float, limit: int) -> list[ResultRow]:
    """Results whose next try is due, oldest first."""
    table = result_waits.c
    query = (
        _rows()
        .add_columns(table.since_s, table.tries)
        .join(result_waits, table.outbox_id == outbox.c.id)
        .where(table.sink == sink, table.next_at_s <= now_s)
        .order_by(table.next_at_s, outbox.c.id)
        .limit(limit)
    )
    return [
        ResultRow(row.id, row.topic, row.value, row.created_at_s, row.since_s, row.tries)
        for row in connection.execute(query)
    ]


def n_waiting(connection: Connection, sink: str) -> int:
    """How many results of a receiver wait."""
    query = select(func.count()).select_from(result_waits).where(result_waits.c.sink == sink)
    return int(connection.execute(query).scalar_one())


def settle(connection: Connection, sink: str, ended: Sequence[int], waits: Sequence[Wait]) -> None:
    """Results that wait no longer, and those that wait, for the first time or again."""
    gone = [*ended, *(wait.outbox_id for wait in waits)]
    if gone:
        connection.execute(
            delete(result_waits).where(
                result_waits.c.sink == sink, result_waits.c.outbox_id == bindparam("row")
            ),
            [{"row": outbox_id} for outbox_id in gone],
        )
    if waits:
        rows = [{"sink": sink, **msgspec.structs.asdict(wait)} for wait in waits]
        connection.execute(insert(result_waits), rows)


def is_wanted() -> ColumnElement[bool]:
    """Whether some receiver has not had an outbox row yet."""
    behind = exists().where(result_positions.c.outbox_id < outbox.c.id)
    return or_(behind, exists().where(result_waits.c.outbox_id == outbox.c.id))


def lags(connection: Connection) -> list[Lag]:
    """How far each receiver is behind, by name."""
    at = select(result_positions.c.sink, result_positions.c.outbox_id)
    return [
        _lag(connection, row.sink, row.outbox_id)
        for row in connection.execute(at.order_by(result_positions.c.sink))
    ]


def _lag(connection: Connection, sink: str, outbox_id: int) -> Lag:
    later = select(outbox.c.id, outbox.c.created_at_s).where(
        outbox.c.id > outbox_id, outbox.c.topic.in_(RESULT_TOPICS)
    )
    counted = select(func.count()).select_from(later.limit(_MOST_COUNTED).subquery())
    oldest = connection.execute(later.order_by(outbox.c.id).limit(1)).first()
    since = connection.execute(
        select(func.min(outbox.c.created_at_s))
        .join(result_waits, result_waits.c.outbox_id == outbox.c.id)
        .where(result_waits.c.sink == sink)
    ).scalar()
    waiting = n_waiting(connection, sink)
    ages = [at for at in (since, None if oldest is None else oldest.created_at_s) if at is not None]
    return Lag(
        sink=sink,
        records=int(connection.execute(counted).scalar_one()) + waiting,
        waiting=waiting,
        oldest_s=min(ages, default=None),
    )


def extras(connection: Connection, keys: Collection[Key]) -> dict[Key, Mapping[str, Any]]:
    """The further fields of responses whose body is kept, such as `trace_id` and `span_id`."""
    if not keys:
        return {}
    wanted = key_rows(connection, sorted(keys))
    here = and_(responses.c.assistant == wanted.c.first, responses.c.response_id == wanted.c.second)
    query = (
        select(responses.c.assistant, responses.c.response_id, responses.c.body)
        .select_from(wanted.join(responses, here))
        .where(responses.c.body.is_not(None))
    )
    return {(a, r): unpack_body(body).extra for a, r, body in connection.execute(query)}


def noise(connection: Connection, evaluator_version: str) -> tuple[float, int] | None:
    """Mean difference of p_lie between a response's verdict and its repeats, over the newest 500 repeats
    of an evaluator, and their count; None without one."""
    first = verdicts.alias("first")
    newest = (
        select(verdicts.c.assistant, verdicts.c.response_id, verdicts.c.p_lie)
        .where(
            beside_live,
            verdicts.c.purpose == Purpose.REPEAT.value,
            verdicts.c.evaluator_version == evaluator_version,
            verdicts.c.p_lie.is_not(None),
        )
        .order_by(verdicts.c.scored_at_s.desc(), verdicts.c.key)
        .limit(_NOISE_OVER)
        .subquery()
    )
    same = and_(
        first.c.response_id == newest.c.response_id,
        first.c.assistant == newest.c.assistant,
        first.c.live_slot.is_not(None),
        first.c.evaluator_version == evaluator_version,
    )
    query = select(func.avg(func.abs(first.c.p_lie - newest.c.p_lie)), func.count(first.c.p_lie))
    mean, n = connection.execute(query.select_from(newest.join(first, same))).one()
    return None if not n else (float(mean), int(n))


def _rows() -> Select[tuple[int, str, bytes, float]]:
    return select(outbox.c.id, outbox.c.topic, outbox.c.value, outbox.c.created_at_s)
