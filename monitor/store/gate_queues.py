"""What waits on the gate: notices for the webhook, released rows for a person to read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, exists, select, update

from monitor.store.schema import gate_deliveries, labels, review_queue


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A notice that is due; `attempts` failed so far."""

    id: int
    decision_id: str
    event: str
    body: bytes
    attempts: int


class ReviewItem(msgspec.Struct, frozen=True, kw_only=True):
    """A released row that a person is to read. A row that is not from traffic has no response."""

    assistant: str
    decision_id: str
    row_digest: str
    response_id: str | None
    inclusion_probability: float
    queued_at_s: float


def due_deliveries(connection: Connection, *, now_s: float, limit: int) -> list[Delivery]:
    """The notices whose time has come, oldest first."""
    table = gate_deliveries.c
    columns = [getattr(table, name) for name in Delivery.__struct_fields__]
    query = select(*columns).where(table.next_at_s <= now_s).order_by(table.id).limit(limit)
    return [Delivery(**row) for row in connection.execute(query).mappings()]


def mark_delivered(connection: Connection, delivery: Delivery, *, at_s: float) -> None:
    """Record that the receiver took it."""
    connection.execute(
        update(gate_deliveries)
        .where(gate_deliveries.c.id == delivery.id)
        .values(attempts=delivery.attempts + 1, next_at_s=None, delivered_at_s=at_s, error=None)
    )


def mark_failed(
    connection: Connection, delivery: Delivery, error: str, *, next_at_s: float | None
) -> None:
    """Record a failed attempt and when the next is due; None gives it up."""
    connection.execute(
        update(gate_deliveries)
        .where(gate_deliveries.c.id == delivery.id)
        .values(attempts=delivery.attempts + 1, next_at_s=next_at_s, error=error[:300])
    )


def discard_deliveries(connection: Connection) -> int:
    """Give up what waits where no webhook is configured; returns how many."""
    table = gate_deliveries.c
    return connection.execute(
        update(gate_deliveries)
        .where(table.next_at_s.is_not(None))
        .values(next_at_s=None, error="no webhook is configured")
    ).rowcount


def waiting_reviews(
    connection: Connection, *, assistants: Sequence[str] | None, limit: int
) -> list[ReviewItem]:
    """Queued rows without a label of anyone, oldest release first; of these assistants, or all for None."""
    table = review_queue.c
    labelled = exists().where(
        labels.c.assistant == table.assistant, labels.c.response_id == table.response_id
    )
    columns = [getattr(table, name) for name in ReviewItem.__struct_fields__]
    query = select(*columns).where(~labelled).order_by(table.queued_at_s, table.id)
    if assistants is not None:
        query = query.where(table.assistant.in_(list(assistants)))
    return [ReviewItem(**row) for row in connection.execute(query.limit(limit)).mappings()]
