"""A real API over a real SQLite store, with a clock that stands still."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from monitor.abstain.asking import Asker
from monitor.api.app import create_app
from monitor.api.context import Context
from monitor.api.state import StateReader
from monitor.cli.serving import api_settings
from monitor.http.access import Access
from monitor.http.options import ApiOptions
from monitor.launch.options import RetrainOptions
from monitor.settings import Settings
from monitor.store import open_store
from monitor.telemetry import StateCollector

NOW_S = 1_760_000_000.0
KEY = b"a key of the tests, 32 bytes lng"


@dataclasses.dataclass
class Service:
    engine: Engine
    client: TestClient
    broker: list[str]
    """Put a text here to make the broker unreachable."""


MakeService = Callable[..., Service]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_store(f"sqlite:///{tmp_path}/candor.db")
    yield opened
    opened.dispose()


@pytest.fixture
def make_service(engine: Engine) -> MakeService:
    def make(
        *,
        asker: Asker | None = None,
        retrain: RetrainOptions | None = None,
        store: Engine = engine,
        **api: Any,
    ) -> Service:
        settings = Settings(api=ApiOptions(**api), retrain=retrain or RetrainOptions())
        state = StateReader(store, settings.telemetry, clock=lambda: NOW_S)
        registry = CollectorRegistry()
        registry.register(StateCollector(state))
        broker: list[str] = []
        context = Context(
            engine=store,
            settings=api_settings(settings),
            registry=registry,
            state=state,
            clock=lambda: NOW_S,
            access=Access(
                settings.api.keys_file, requests_per_minute=settings.api.requests_per_minute
            ),
            pseudonym_key=KEY,
            broker_problem=lambda: broker[0] if broker else None,
            asker=asker,
            max_age_s=0.0,
        )
        client = TestClient(
            create_app(context), base_url="http://127.0.0.1", raise_server_exceptions=False
        )
        return Service(store, client, broker)

    return make


@pytest.fixture
def service(make_service: MakeService) -> Service:
    return make_service()


@pytest.fixture
def response_record() -> dict[str, Any]:
    return {
        "response_id": "r1",
        "assistant": "shop",
        "model": "m-1",
        "conversation_id": "c1",
        "user_id": "alice@example.org",
        "created_at": "2025-10-09T08:00:00Z",
        "messages": [
            {"role": "user", "content": "Is it in stock?"},
            {"role": "assistant", "content": "Yes."},
        ],
    }


@pytest.fixture
def feedback_record() -> dict[str, Any]:
    return {
        "feedback_id": "f1",
        "assistant": "shop",
        "response_id": "r1",
        "user_id": "alice@example.org",
        "created_at": "2025-10-09T08:01:00Z",
        "value": 1.0,
        "kind": "thumb",
    }
