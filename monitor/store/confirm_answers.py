"""What the arms of a confirm run answered, item by item, in the form in which a service packs it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, delete, insert, select

from monitor.store.schema import confirm_answers


class PackedItem(msgspec.Struct, frozen=True):
    """An item's answers: `index` is its 0-based place in the run, `differs` whether arms answered otherwise."""

    index: int
    differs: bool
    body: bytes


_COLUMNS = [getattr(confirm_answers.c, name) for name in PackedItem.__struct_fields__]


def put_answers(connection: Connection, run_id: str, items: Iterable[PackedItem]) -> None:
    """Keep the answers of a run in place of what is kept of it."""
    connection.execute(delete(confirm_answers).where(confirm_answers.c.run_id == run_id))
    rows = [{"run_id": run_id, **msgspec.structs.asdict(one)} for one in items]
    if rows:
        connection.execute(insert(confirm_answers), rows)


def list_answers(
    connection: Connection,
    run_id: str,
    *,
    differing: bool = False,
    after: int | None = None,
    limit: int,
) -> list[PackedItem]:
    """Items of a run in their order; of `differing` ones those where arms were found to answer otherwise."""
    table = confirm_answers.c
    query = select(*_COLUMNS).where(table.run_id == run_id)
    if differing:
        query = query.where(table.differs.is_(True))
    if after is not None:
        query = query.where(table.index > after)
    return [
        PackedItem(*row) for row in connection.execute(query.order_by(table.index).limit(limit))
    ]


def find_answers(connection: Connection, run_id: str, index: int) -> PackedItem | None:
    """The answers to one item; None where there is no such item."""
    table = confirm_answers.c
    query = select(*_COLUMNS).where(table.run_id == run_id, table.index == index)
    row = connection.execute(query).one_or_none()
    return None if row is None else PackedItem(*row)
