"""The migrations write the schema that the code declares, and can be taken back."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from monitor.store import engine as store_engine
from monitor.store.schema import metadata

SCRIPTS = Path(store_engine.__file__).with_name("migrations")


def test_migrated_database_equals_the_declared_schema(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    store_engine.upgrade(url)
    with create_engine(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_down_to_nothing_and_up_again(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    for step, target in ((command.upgrade, "head"), (command.downgrade, "base")) * 2:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            step(config, target)
        left = set(inspect(engine).get_table_names()) - {"alembic_version"}
        assert left == (set(metadata.tables) if target == "head" else set())
