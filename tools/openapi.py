"""The published OpenAPI document, without a running service."""

from __future__ import annotations

from typing import Any, NoReturn

from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine

from monitor.api.app import create_app
from monitor.api.context import Context
from monitor.cli.serving import api_settings
from monitor.http.access import Access
from monitor.settings import Settings
from monitor.telemetry import State


def document() -> dict[str, Any]:
    """What `/openapi.json` answers."""

    def never() -> NoReturn:
        raise RuntimeError("the document is made without a service")

    def state() -> State:
        never()

    context = Context(
        engine=create_engine("sqlite://"),
        settings=api_settings(Settings.model_construct()),
        registry=CollectorRegistry(),
        state=state,
        clock=never,
        access=Access(None),
        pseudonym_key=b"",
        broker_problem=never,
    )
    return create_app(context).openapi()
