"""Fixtures shared with `cli`, and a real PostgreSQL."""

from tests.monitor.cli.conftest import candor, scorer
from tests.postgres import empty_postgres, postgres_server

__all__ = ["candor", "empty_postgres", "postgres_server", "scorer"]
