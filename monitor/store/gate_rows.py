"""What the gate did with each row, and why: kept beside the signed decision, which names positions alone."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import msgspec
from sqlalchemy import Connection, insert, select

from monitor.store.schema import gate_decisions, gate_rows, review_queue

MOST_KEPT = 20_000
"""Of one decision, of the rows that were taken out and of the others; the decision counts all of them."""
KEPT = "kept"
"""What to look for in place of a reason: rows that were not taken out."""


class GateRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row by its 0-based position, with why it was taken out; None where it was not.

    A row that is not from traffic has no response, and one that no signal chose no feedback.
    """

    index: int
    row_digest: str
    reason: str | None = None
    response_id: str | None = None
    feedback_id: str | None = None


class RowUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision did with a row of a response.

    Parameters
    ----------
    answer
        The gate's; `overridden` says that somebody let all rows pass.
    index
        None of a row that is known from the queue of rows to read alone.
    to_read
        Whether the release chose it for a person to read.
    """

    decision_id: str
    answer: str
    created_at_s: float
    overridden: bool
    revoked: bool
    row_digest: str
    index: int | None = None
    reason: str | None = None
    feedback_id: str | None = None
    to_read: bool = False


def put_rows(
    connection: Connection,
    decision_id: str,
    assistant: str,
    *,
    removed: Iterable[GateRow],
    kept: Iterable[GateRow],
) -> None:
    """Keep the first rows that a decision took out, and the first of the others."""
    made = [
        {**msgspec.structs.asdict(row), "decision_id": decision_id, "assistant": assistant}
        for part in (removed, kept)
        for row in islice(part, MOST_KEPT)
    ]
    if made:
        connection.execute(insert(gate_rows), made)


def list_rows(
    connection: Connection,
    decision_id: str,
    *,
    reason: str | None = None,
    response_id: str | None = None,
    after: int | None = None,
    limit: int,
) -> list[GateRow]:
    """Rows that a decision took out, by position; with `KEPT` for a reason those that it did not."""
    table = gate_rows.c
    columns = [getattr(table, name) for name in GateRow.__struct_fields__]
    query = select(*columns).where(table.decision_id == decision_id)
    if reason == KEPT:
        query = query.where(table.reason.is_(None))
    else:
        query = query.where(table.reason.is_not(None) if reason is None else table.reason == reason)
    if response_id is not None:
        query = query.where(table.response_id == response_id)
    if after is not None:
        query = query.where(table.index > after)
    rows = connection.execute(query.order_by(table.index).limit(limit)).mappings()
    return [GateRow(**row) for row in rows]


def uses_of_response(
    connection: Connection, assistant: str, response_id: str, *, limit: int = 50
) -> list[RowUse]:
    """What decisions did with the rows of a response, newest first."""
    table, queued, made = gate_rows.c, review_queue.c, gate_decisions.c
    about = (
        made.decision_id,
        made.answer,
        made.created_at_s,
        made.overridden_by.is_not(None).label("overridden"),
        made.revoked_at_s.is_not(None).label("revoked"),
    )
    rows = (
        select(*about, table.row_digest, table.index, table.reason, table.feedback_id)
        .join(gate_rows, made.decision_id == table.decision_id)
        .where(table.assistant == assistant, table.response_id == response_id)
    )
    read = (
        select(*about, queued.row_digest)
        .join(review_queue, made.decision_id == queued.decision_id)
        .where(queued.assistant == assistant, queued.response_id == response_id)
    )
    newest, chosen = (
        connection.execute(query.order_by(made.created_at_s.desc()).limit(limit)).mappings().all()
        for query in (rows, read)
    )
    to_read = {(row["decision_id"], row["row_digest"]) for row in chosen}
    uses = [
        RowUse(**row, to_read=(row["decision_id"], row["row_digest"]) in to_read) for row in newest
    ]
    known = {(one.decision_id, one.row_digest) for one in uses}
    uses += [
        RowUse(**row, to_read=True)
        for row in chosen
        if (row["decision_id"], row["row_digest"]) not in known
    ]
    return sorted(uses, key=lambda one: -one.created_at_s)
