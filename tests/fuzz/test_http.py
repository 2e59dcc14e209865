"""The same requests over PostgreSQL, and over the published description of the API."""

from __future__ import annotations

import pytest

from monitor.store import open_store, upgrade
from tests.fuzz.choices import RandomChoices
from tests.fuzz.targets.http import Api, make
from tests.postgres import empty_postgres, postgres_server

__all__ = ["empty_postgres", "postgres_server"]


@pytest.fixture
def postgres_api(empty_postgres: str) -> Api:
    upgrade(empty_postgres)
    return Api(open_store(empty_postgres))


def test_postgresql_answers_no_request_with_5xx(postgres_api: Api) -> None:
    seen = {postgres_api.check(make(RandomChoices(7_000_003 + i))) for i in range(400)}
    assert {"200", "422"} <= seen
