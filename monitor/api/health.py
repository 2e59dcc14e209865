"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from sqlalchemy.exc import DBAPIError

from evidence import UnreachableError
from monitor.api.context import Context
from monitor.api.models import Check, Readiness
from monitor.http.routes import DoorRoute
from monitor.store.engine import HEAD_REVISION, current_revision
from monitor.telemetry import Cached

Value = TypeVar("Value")


def router(context: Context) -> APIRouter:
    """Routes that need no key: they show no text, no user and no response."""
    routes = APIRouter(tags=["health"], route_class=DoorRoute)

    def cached(make: Callable[[], Value]) -> Cached[Value]:
        return Cached(make, clock=time.monotonic, max_age_s=context.max_age_s)

    checked = cached(lambda: [_database(context), _broker(context), _workers(context)])
    exposition = cached(partial(generate_latest, context.registry))

    @routes.get("/healthz", summary="Whether the process answers")
    async def healthz() -> dict[str, str]:
        """Always 200: a process that cannot answer does not."""
        return {"status": "ok"}

    @routes.get(
        "/readyz",
        summary="Whether the process can do its work",
        responses={200: {"model": Readiness}, 503: {"model": Readiness}},
    )
    def readyz() -> JSONResponse:
        """Database, schema, broker and workers; 503 with the failing checks otherwise."""
        checks = checked()
        ready = all(check.ok for check in checks)
        body = Readiness(ready=ready, checks=checks)
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse(body.model_dump(), status.value)

    @routes.get(
        "/metrics",
        summary="Prometheus metrics",
        responses={200: {"content": {"text/plain": {}}}},
        response_class=Response,
    )
    def metrics() -> Response:
        """Exposition format 0.0.4."""
        return Response(exposition(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    return routes


def _database(context: Context) -> Check:
    try:
        found = current_revision(context.engine)
    except DBAPIError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        return Check(name="database", ok=False, detail=f"does not answer: {reason}")
    if found != HEAD_REVISION:
        detail = f"schema revision {found}, {HEAD_REVISION} is needed: candor db upgrade"
        return Check(name="database", ok=False, detail=detail)
    return Check(name="database", ok=True, detail=f"schema revision {found}")


def _broker(context: Context) -> Check:
    problem = context.broker_problem()
    return Check(name="broker", ok=problem is None, detail=problem or "answers")


def _workers(context: Context) -> Check:
    try:
        workers = context.state().workers
    except UnreachableError as error:
        return Check(name="workers", ok=False, detail=str(error))
    detail = f"{workers.alive} alive, {workers.paused} of them paused, {workers.silent} silent"
    return Check(name="workers", ok=workers.alive > 0, detail=detail)
