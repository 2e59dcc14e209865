"""What all tables share: the metadata with its naming convention, and the serial key."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Index, Integer, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite makes only INTEGER primary keys autoincrement.
_Serial = BigInteger().with_variant(Integer, "sqlite")


def serial_id() -> Column[int]:
    """The `id` of a table whose rows are numbered."""
    return Column("id", _Serial, primary_key=True, autoincrement=True)


def partial_index(name: str, where: ColumnElement[bool], *columns: Column[Any]) -> Index:
    """An index of the rows for which `where` is true, so that finding them does not grow with the others."""
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)
