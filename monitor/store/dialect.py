"""The few places where SQLite and PostgreSQL differ."""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    String,
    Subquery,
    Table,
    bindparam,
    cast,
    func,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite

_PAGE = 1_000


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


def add_counts(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], column: str = "n"
) -> None:
    """Insert rows, or add their `column` to that of the row with the same primary key.

    Rows are locked in the order given, so callers sort them to avoid deadlocks.
    """
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={column: table.c[column] + statement.excluded[column]},
        ),
        list(rows),
    )


def insert_many(
    connection: Connection,
    table: Table,
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    key: Sequence[str],
) -> set[tuple[Any, ...]]:
    """`insert_new` of many rows that are mostly new, in one statement; returns the keys that were.

    Parameters
    ----------
    names
        The columns of which each row has a value, in this order; `key` are some of them.
    """
    if not rows:
        return set()
    statement = _bulk_insert(table, tuple(names), connection.dialect.name)
    together = connection.begin_nested()
    if connection.dialect.name == "sqlite":
        done = connection.exec_driver_sql(statement, [tuple(row) for row in rows])
    else:
        done = connection.exec_driver_sql(statement, tuple(map(list, zip(*rows, strict=True))))
    if done.rowcount == len(rows):
        together.commit()
        places = [names.index(name) for name in key]
        return {tuple(row[place] for place in places) for row in rows}
    # Some are known: which, only the slower statement tells.
    together.rollback()
    named = [dict(zip(names, row, strict=True)) for row in rows]
    return insert_new(connection, table, named, [table.c[name] for name in key])


@functools.cache
def _bulk_insert(table: Table, names: tuple[str, ...], dialect: str) -> str:
    if dialect == "sqlite":
        quoted = ", ".join(f'"{name}"' for name in names)
        places = ", ".join("?" for _ in names)
        return f'INSERT INTO "{table.name}" ({quoted}) VALUES ({places}) ON CONFLICT DO NOTHING'  # noqa: S608
    quoted = ", ".join(f'"{name}"' for name in names)
    # A column at a time: one statement with as many parameters as columns, however many rows.
    arrays = ", ".join(_array(table.c[name]) for name in names)
    return (
        f'INSERT INTO "{table.name}" ({quoted}) SELECT * FROM unnest({arrays}) '  # noqa: S608
        "ON CONFLICT DO NOTHING"
    )


def _array(column: Column[Any]) -> str:
    kind = column.type.compile(postgresql.dialect())  # type: ignore[no-untyped-call]
    # Bytes go as they are: as text they would double.
    return f"{'%b' if isinstance(column.type, LargeBinary) else '%s'}::{kind}[]"


def key_rows(connection: Connection, keys: Collection[tuple[str, str]]) -> Subquery:
    """The keys as rows `first`, `second` to join with: each is then looked up in an index."""
    if connection.dialect.name == "postgresql":
        first, second = ([key[place] for key in keys] for place in (0, 1))
        texts = ARRAY(String)
        rows = (
            func.unnest(cast(first, texts), cast(second, texts))
            .table_valued("first", "second")
            .render_derived()
        )
        return select(rows.c.first, rows.c.second).subquery("wanted")
    each = func.json_each(json.dumps(list(keys))).table_valued("value")
    return select(
        func.json_extract(each.c.value, "$[0]").label("first"),
        func.json_extract(each.c.value, "$[1]").label("second"),
    ).subquery("wanted")


def one_of(
    connection: Connection, column: Column[str], values: Sequence[str]
) -> ColumnElement[bool]:
    """Whether a text column holds one of the values, which are one parameter however many they are."""
    if connection.dialect.name == "postgresql":
        return column == func.any(cast(values, ARRAY(String)))
    each = func.json_each(json.dumps(list(values))).table_valued("value")
    return column.in_(select(each.c.value))


def in_pages(
    connection: Connection, table: Table, *columns: Column[Any], where: ColumnElement[bool]
) -> Iterator[Row[Any]]:
    """Primary key and columns of the rows for which `where` is true, a page at a time.

    However many rows there are, memory does not grow; a row may be changed, but not its key, while its
    page is read.
    """
    keys = list(table.primary_key.columns)
    query = select(*keys, *columns).where(where).order_by(*keys).limit(_PAGE)
    rows: Sequence[Row[Any]] = connection.execute(query).all()
    while rows:
        yield from rows
        if len(rows) < _PAGE:
            return
        after = tuple_(*keys) > tuple_(*rows[-1][: len(keys)])
        rows = connection.execute(query.where(after)).all()


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


def floored(connection: Connection, ratio: ColumnElement[Any]) -> ColumnElement[int]:
    """The whole part of a number that is not negative."""
    # SQLite cuts a number that it makes whole; PostgreSQL rounds it.
    whole = ratio if connection.dialect.name == "sqlite" else func.floor(ratio)
    return cast(whole, BigInteger)
