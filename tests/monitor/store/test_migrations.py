"""The migrations write the schema that the code declares, and nothing but a Candor database is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

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


@pytest.mark.parametrize("found", [None, "0001", "0004", "9999"])
def test_a_process_refuses_a_schema_that_is_not_its_own(
    empty_postgres: str, found: str | None
) -> None:
    """Only SQLite is migrated when opened; a shared database waits for `candor db upgrade`."""
    if found is not None:
        stamp_with(empty_postgres, found)
    with pytest.raises(BadInputError, match="candor db upgrade"):
        open_store(empty_postgres)
    if found is None:
        assert store_engine.upgrade(empty_postgres) == (None, store_engine.HEAD_REVISION)
        open_store(empty_postgres).dispose()
        return
    with pytest.raises(BadInputError, match=f"schema revision {found}.*new database"):
        store_engine.upgrade(empty_postgres)


@pytest.mark.parametrize("found", ["0001", "0004", "9999"])
def test_an_older_or_foreign_revision_of_sqlite_is_one_clear_line(
    tmp_path: Path, found: str
) -> None:
    url = f"sqlite:///{tmp_path}/candor.db"
    stamp_with(url, found)
    for act in (open_store, store_engine.upgrade):
        with pytest.raises(BadInputError, match=f"schema revision {found}.*new database"):
            act(url)


def test_a_database_of_somebody_else_is_left_alone(url: str, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE responses (id INTEGER PRIMARY KEY)"))
    with pytest.raises(BadInputError, match="not a Candor database: it has responses"):
        store_engine.upgrade(url)
    assert inspect(database).get_table_names() == ["responses"]


def stamp_with(url: str, revision: str) -> None:
    """A database whose tables another version made."""
    engine = open_unchecked(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:at)"), {"at": revision})
    engine.dispose()
