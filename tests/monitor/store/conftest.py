"""Each query module runs on SQLite and on a real PostgreSQL from a wheel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from monitor.store import open_store, upgrade
from tests.postgres import empty_postgres, postgres_server

__all__ = ["empty_postgres", "postgres_server"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/candor.db"
    found: str = request.getfixturevalue("empty_postgres")
    return found


@pytest.fixture
def open_again(url: str) -> Callable[[], Engine]:
    upgrade(url)
    return lambda: open_store(url)


@pytest.fixture
def engine(open_again: Callable[[], Engine]) -> Iterator[Engine]:
    opened = open_again()
    yield opened
    opened.dispose()
