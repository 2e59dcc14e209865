"""The few places where SQLite and PostgreSQL differ."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table, bindparam, text
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    returning: Sequence[Column[Any]],
) -> set[tuple[Any, ...]]:
    """Insert the rows whose keys are new and return the `returning` columns of those.

    Rows are locked in the order given, so callers sort them to avoid deadlocks.
    """
    if not rows:
        return set()
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing().returning(*returning)
    return {tuple(row) for row in connection.execute(statement, list(rows))}


def lock_names(connection: Connection, names: Iterable[str]) -> None:
    """Hold a lock on each name until the transaction ends. SQLite has one writer, and so none.

    PostgreSQL hands out serial ids before commit: without the lock a reader could pass an id whose
    row is not visible yet, and never come back for it.
    """
    if connection.dialect.name != "postgresql":
        return
    statement = text("SELECT pg_advisory_xact_lock(:key)").bindparams(bindparam("key"))
    for key in sorted({zlib.crc32(name.encode()) for name in names}):
        connection.execute(statement, {"key": key})
