"""The same requests over PostgreSQL, and requests made from the published description of the API."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import Engine

from monitor.store import open_store, upgrade
from tests.fuzz.choices import RandomChoices
from tests.fuzz.targets.http import Api, api, make
from tests.postgres import empty_postgres, postgres_server

__all__ = ["empty_postgres", "postgres_server"]

EXAMPLES = int(os.environ.get("CANDOR_SCHEMA_EXAMPLES", "8"))
HOST = {"host": "127.0.0.1"}
CHECKS = (content_type_conformance, response_schema_conformance, status_code_conformance)


@pytest.fixture
def postgres(empty_postgres: str) -> Iterator[Engine]:
    upgrade(empty_postgres)
    opened = open_store(empty_postgres)
    yield opened
    opened.dispose()


def test_postgresql_answers_no_request_with_5xx(postgres: Engine) -> None:
    asked = Api(postgres)
    seen = {asked.check(make(RandomChoices(7_000_003 + i))) for i in range(600)}
    assert {"200", "422"} <= seen


SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", api().app, headers=HOST)
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize("label", OPERATIONS)
def test_answers_are_as_described(label: str, mode: schemathesis.GenerationMode) -> None:
    """Of requests that fit the description and of those that do not; more by CANDOR_SCHEMA_EXAMPLES."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(OPERATIONS[label].as_strategy(generation_mode=mode))
    def answer(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=HOST, checks=CHECKS)

    with suppress(Unsatisfiable):  # a route that takes nothing cannot be asked wrongly
        answer()
