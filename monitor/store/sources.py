"""Registered training sources: what is known of each, and the digests of its rows."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import Connection, delete, select

from monitor.store.dialect import insert_new
from monitor.store.schema import training_sources

_SHOWN = (
    "name",
    "version",
    "digest",
    "rows",
    "size_bytes",
    "licence",
    "registered_by",
    "registered_at_s",
)


class TrainingSource(msgspec.Struct, frozen=True, kw_only=True):
    """A data set as it was registered; `digest` is the SHA-256 (hex) of what was read."""

    name: str
    version: str
    digest: str
    rows: int
    size_bytes: int
    licence: str
    registered_by: str
    registered_at_s: float


def add(connection: Connection, source: TrainingSource, row_digests: bytes) -> bool:
    """Keep a source with its sorted row digests; False when its name and version are taken."""
    row = {**msgspec.structs.asdict(source), "row_digests": row_digests}
    return bool(insert_new(connection, training_sources, [row], [training_sources.c.name]))


def remove(connection: Connection, name: str, version: str) -> bool:
    """Forget a source; False when there is none of this name and version."""
    table = training_sources.c
    done = connection.execute(
        delete(training_sources).where(table.name == name, table.version == version)
    )
    return bool(done.rowcount)


def all_sources(connection: Connection) -> list[TrainingSource]:
    """Every source by name and version."""
    table = training_sources.c
    query = select(*(table[name] for name in _SHOWN)).order_by(table.name, table.version)
    return [TrainingSource(**row) for row in connection.execute(query).mappings()]


def row_digests(
    connection: Connection, wanted: Collection[tuple[str, str]]
) -> dict[tuple[str, str], bytes]:
    """The sorted row digests of those of these (name, version) that are registered."""
    table = training_sources.c
    names = {name for name, _ in wanted}
    known = connection.execute(select(table.name, table.version).where(table.name.in_(names))).all()
    found = {}
    for name, version in known:
        if (name, version) in wanted:
            query = select(table.row_digests).where(table.name == name, table.version == version)
            found[name, version] = bytes(connection.execute(query).scalar_one())
    return found
