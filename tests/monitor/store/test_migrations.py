"""The migrations write the schema that the code declares, keep what is stored, and can be taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, Table, insert, inspect, select, text

from evidence import BadInputError
from monitor.store import engine as store_engine
from monitor.store import open_store
from monitor.store.engine import open_unchecked
from monitor.store.schema import metadata

SCRIPTS = Path(store_engine.__file__).with_name("migrations")


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(SCRIPTS))
    return made


def revisions() -> list[str]:
    """Oldest first."""
    scripts = ScriptDirectory.from_config(config()).walk_revisions()
    return [script.revision for script in scripts][::-1]


@pytest.fixture
def database(url: str) -> Iterator[Engine]:
    engine = open_unchecked(url)
    yield engine
    engine.dispose()


def move(engine: Engine, target: str) -> None:
    """To a revision, or to `base`, from wherever the database is."""
    now = store_engine.current_revision(engine)
    order = ["base", *revisions()]
    up = order.index(target) > (order.index(now) if now else 0)
    settings = config()
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        (command.upgrade if up else command.downgrade)(settings, target)


def reflected(engine: Engine) -> MetaData:
    found = MetaData()
    found.reflect(engine)
    found.remove(found.tables["alembic_version"])
    return found


def sample(column: sa.Column[Any]) -> Any:
    """Some value of the column's type."""
    kind = column.type
    if isinstance(kind, sa.Boolean):
        return True
    if isinstance(kind, sa.LargeBinary):
        return b"\x00bytes"
    if isinstance(kind, sa.Float):
        return 0.5
    if isinstance(kind, sa.Integer):
        return 7
    return "Ünïcode"[: getattr(kind, "length", None) or 100]


def fill(engine: Engine, tables: MetaData) -> dict[str, dict[str, Any]]:
    """One row in every table; what was written, by table and column."""
    written = {}
    with engine.begin() as connection:
        for table in tables.sorted_tables:
            row = {column.name: sample(column) for column in table.columns}
            connection.execute(insert(table).values(row))
            written[table.name] = row
    return written


def held(engine: Engine, table: Table, columns: list[str]) -> dict[str, Any]:
    with engine.connect() as connection:
        row = connection.execute(select(*(table.c[name] for name in columns))).mappings().one()
    return dict(row)


def test_migrated_database_equals_the_declared_schema(url: str, database: Engine) -> None:
    store_engine.upgrade(url)
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_down_to_nothing_and_up_again(database: Engine) -> None:
    for target in (revisions()[-1], "base") * 2:
        move(database, target)
        left = set(inspect(database).get_table_names()) - {"alembic_version"}
        assert left == (set() if target == "base" else set(metadata.tables))


def test_what_an_older_version_stored_survives_every_step_up_and_down(database: Engine) -> None:
    order = revisions()
    move(database, order[0])
    first = reflected(database)
    written = fill(database, first)
    for target in (*order[1:], *order[-2::-1]):
        move(database, target)
        now = reflected(database)
        for name, row in written.items():
            assert held(database, now.tables[name], list(row)) == row, (target, name)


def test_what_this_version_stores_can_be_taken_back(database: Engine) -> None:
    order = revisions()
    move(database, order[-1])
    written = fill(database, reflected(database))
    move(database, order[0])
    now = reflected(database)
    for name, table in now.tables.items():
        kept = [column.name for column in table.columns]
        assert held(database, table, kept) == {n: written[name][n] for n in kept}
    move(database, order[-1])


@pytest.mark.parametrize("postgres_at", [None, "0001", "9999"])
def test_a_process_refuses_a_schema_that_is_not_its_own(
    empty_postgres: str, postgres_at: str | None
) -> None:
    """Only SQLite is migrated when opened; a shared database waits for `candor db upgrade`."""
    if postgres_at is not None:
        engine = open_unchecked(empty_postgres)
        move(engine, "0001")
        with engine.begin() as connection:
            stamp = text("UPDATE alembic_version SET version_num = :at")
            connection.execute(stamp, {"at": postgres_at})
        engine.dispose()
    with pytest.raises(BadInputError, match="candor db upgrade"):
        open_store(empty_postgres)
    if postgres_at != "9999":
        assert store_engine.upgrade(empty_postgres) == (postgres_at, store_engine.HEAD_REVISION)
        open_store(empty_postgres).dispose()
