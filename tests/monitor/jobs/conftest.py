"""Fixtures shared with `worker`."""

from tests.monitor.worker.conftest import another_house, either_house, house, kit
from tests.postgres import empty_postgres, postgres_server

__all__ = ["another_house", "either_house", "empty_postgres", "house", "kit", "postgres_server"]
