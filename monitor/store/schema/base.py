"""What all tables share: the metadata with its naming convention, and the serial key."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData

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
