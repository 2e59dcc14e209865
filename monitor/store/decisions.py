"""Gate decisions as stored: their envelopes, what was announced of them, what was withdrawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import Connection, insert, or_, select, update

from evidence import BadInputError
from monitor.store import outbox
from monitor.store.dialect import insert_new
from monitor.store.gate_queues import ReviewItem
from monitor.store.outbox import GATES_TOPIC
from monitor.store.schema import gate_decisions, gate_deliveries, review_queue


class UnknownDecisionError(BadInputError):
    """No decision has this id."""


class StoredDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as stored; of an override, `requested_by` is who asked for it and `overrides` names the
    decision that it lets pass."""

    decision_id: str
    assistant: str
    answer: str
    subject_digest: str | None
    envelope: str
    created_at_s: float
    expires_at_s: float
    revoked_at_s: float | None = None
    overridden_by: str | None = None
    requested_by: str | None = None
    overrides: str | None = None


def add(connection: Connection, decision: StoredDecision) -> bool:
    """Store a decision; False when it is there already."""
    row = msgspec.structs.asdict(decision)
    return bool(insert_new(connection, gate_decisions, [row], [gate_decisions.c.decision_id]))


def announce(
    connection: Connection, decision: StoredDecision, event: str, notice: bytes, *, now_s: float
) -> None:
    """Queue a notice for the topic and for the webhook."""
    key = decision.assistant.encode("utf-8", "surrogatepass")
    outbox.add(connection, GATES_TOPIC, [(key, notice)], now_s=now_s)
    connection.execute(
        insert(gate_deliveries).values(
            decision_id=decision.decision_id,
            event=event,
            body=notice,
            attempts=0,
            next_at_s=now_s,
        )
    )


def queue_review(connection: Connection, rows: Sequence[ReviewItem]) -> None:
    """Let these rows wait for a person; rows of one text wait once."""
    once = {row.row_digest: msgspec.structs.asdict(row) for row in rows}
    if once:
        connection.execute(insert(review_queue), list(once.values()))


def find(connection: Connection, decision_id: str) -> StoredDecision:
    """A decision by its id. Raises UnknownDecisionError."""
    columns = [getattr(gate_decisions.c, name) for name in StoredDecision.__struct_fields__]
    query = select(*columns).where(gate_decisions.c.decision_id == decision_id)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise UnknownDecisionError(f"no decision has the id {decision_id!r}", "decision_id")
    return StoredDecision(**row)


def mark_revoked(connection: Connection, decision_id: str, *, at_s: float) -> bool:
    """Withdraw a decision; False when it was withdrawn before."""
    table = gate_decisions.c
    changed = connection.execute(
        update(gate_decisions)
        .where(table.decision_id == decision_id, table.revoked_at_s.is_(None))
        .values(revoked_at_s=at_s)
    )
    return bool(changed.rowcount)


def every(connection: Connection) -> Iterator[StoredDecision]:
    """All decisions, oldest first, one in memory at a time."""
    columns = [getattr(gate_decisions.c, name) for name in StoredDecision.__struct_fields__]
    query = select(*columns).order_by(gate_decisions.c.created_at_s, gate_decisions.c.decision_id)
    for row in connection.execute(query.execution_options(yield_per=100)).mappings():
        yield StoredDecision(**row)


def overrides_of(connection: Connection, decision_id: str) -> list[StoredDecision]:
    """The overrides of a decision."""
    columns = [getattr(gate_decisions.c, name) for name in StoredDecision.__struct_fields__]
    query = select(*columns).where(gate_decisions.c.overrides == decision_id)
    found = connection.execute(query.order_by(gate_decisions.c.decision_id)).mappings()
    return [StoredDecision(**row) for row in found]


def revoked_ids(connection: Connection) -> list[str]:
    """Ids of all revoked decisions and of their overrides, for the file that guards read."""
    table = gate_decisions.c
    revoked = select(table.decision_id).where(table.revoked_at_s.is_not(None))
    # An override that was made while its decision was being revoked is not marked itself.
    query = select(table.decision_id).where(
        or_(table.revoked_at_s.is_not(None), table.overrides.in_(revoked))
    )
    return list(connection.execute(query.order_by(table.decision_id)).scalars())
