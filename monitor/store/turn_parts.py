"""Parts of turns that wait for their response, by trace; written before the offset of their record is.

A part that is read again is the row that is there: what was written by a worker that died, or that lost its
partition, harms nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

import msgspec
from sqlalchemy import Connection, bindparam, func, select, tuple_, update

from monitor.store.dialect import insert_many, key_rows
from monitor.store.schema import turn_parts

Key = tuple[str, str]
"""(trace, part)."""
_NAMES = ("trace_id", "part_id", "kind", "rater", "body", "received_at_s")


class StoredPart(msgspec.Struct, frozen=True, gc=False):
    """A part on its way into the store, and as it is there; `body` is the caller's."""

    trace_id: str
    part_id: str
    kind: str
    rater: str | None
    body: bytes

    @property
    def key(self) -> Key:
        return (self.trace_id, self.part_id)


def put_parts(connection: Connection, parts: Iterable[StoredPart], *, now_s: float) -> set[Key]:
    """Keep parts; returns the keys that were new."""
    first = {part.key: part for part in reversed(list(parts))}
    rows = [
        (p.trace_id, p.part_id, p.kind, p.rater, p.body, now_s)
        for p in sorted(first.values(), key=lambda p: p.key)
    ]
    new = insert_many(connection, turn_parts, _NAMES, rows, ("trace_id", "part_id"))
    return {(trace, part) for trace, part in new}


def parts_of(connection: Connection, traces: Collection[str]) -> dict[str, list[StoredPart]]:
    """The parts of these traces, in the order of their keys."""
    if not traces:
        return {}
    c = turn_parts.c
    wanted = key_rows(connection, [(trace, "") for trace in sorted(set(traces))])
    query = (
        select(c.trace_id, c.part_id, c.kind, c.rater, c.body)
        .select_from(wanted.join(turn_parts, c.trace_id == wanted.c.first))
        .order_by(c.trace_id, c.part_id)
    )
    found: dict[str, list[StoredPart]] = {}
    for row in connection.execute(query):
        found.setdefault(row.trace_id, []).append(StoredPart(*row))
    return found


def mark_joined(connection: Connection, keys: Collection[Key]) -> int:
    """Note that these went into a turn; returns how many had not before."""
    if not keys:
        return 0
    c = turn_parts.c
    statement = (
        update(turn_parts)
        .where(c.trace_id == bindparam("t"), c.part_id == bindparam("p"), c.joined.is_(False))
        .values(joined=True)
    )
    done = connection.execute(statement, [{"t": t, "p": p} for t, p in sorted(keys)])
    return max(0, done.rowcount)


def drop_parts(
    connection: Connection, *, before_s: float, most: int
) -> tuple[Counter[str], Counter[str]]:
    """Delete parts received before a time, and the oldest of more than `most`.

    Returns how many of each kind went without a turn: for the time, and for the room.
    """
    c = turn_parts.c
    late = connection.execute(
        turn_parts.delete().where(c.received_at_s < before_s).returning(c.kind, c.joined)
    ).all()
    over = connection.execute(select(func.count()).select_from(turn_parts)).scalar_one() - most
    crowded: Collection[tuple[str, bool]] = ()
    if over > 0:
        oldest = select(c.trace_id, c.part_id).order_by(c.received_at_s, c.trace_id).limit(over)
        gone = connection.execute(
            turn_parts.delete()
            .where(tuple_(c.trace_id, c.part_id).in_(oldest))
            .returning(c.kind, c.joined)
        )
        crowded = [(row.kind, row.joined) for row in gone]
    return _alone([(row.kind, row.joined) for row in late]), _alone(crowded)


def _alone(rows: Collection[tuple[str, bool]]) -> Counter[str]:
    return Counter(kind for kind, joined in rows if not joined)
