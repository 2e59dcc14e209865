"""The sidecar's HTTP surface: 202 (200 for OTLP) only once Kafka has the records."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import TypeVar

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.concurrency import run_in_threadpool

from evidence import UnreachableError
from monitor.http import problems
from monitor.http.access import is_loopback
from monitor.http.body import split_records
from monitor.http.door import Door
from monitor.http.otlp import Signal, export_type, parsed_export
from monitor.http.problems import ProblemError
from monitor.http.records import refuse_wrong
from monitor.http.routes import DoorRoute, Guard
from monitor.ingest import batch
from monitor.ingest.decode import decode_feedback, decode_responses
from monitor.ingest.wire import WireFeedback, WireResponse
from monitor.tap.delivery import QueueFullError
from monitor.tap.taking import Taking, TapContext
from monitor.telemetry import Cached

_Taken = TypeVar("_Taken")


def create_app(context: TapContext, taking: Taking) -> FastAPI:
    """Routes: `/v1/responses`, `/v1/feedback`, `/v1/traces`, `/v1/logs`, `/healthz`, `/readyz`, `/metrics`."""
    app = FastAPI(title="Candor tap", docs_url=None, redoc_url=None, openapi_url=None)
    problems.install(app)
    app.add_middleware(Door, options=context.api)
    app.include_router(_router(context, taking))
    return app


def _router(context: TapContext, taking: Taking) -> APIRouter:
    taps = _Taps(context, taking)
    local = [Depends(_ThisMachine().let_in)]
    routes = APIRouter(route_class=DoorRoute)
    accepted = HTTPStatus.ACCEPTED
    routes.post("/v1/responses", status_code=accepted, dependencies=local)(taps.responses)
    routes.post("/v1/feedback", status_code=accepted, dependencies=local)(taps.feedback)
    routes.post("/v1/traces", dependencies=local)(taps.traces)
    routes.post("/v1/logs", dependencies=local)(taps.logs)
    routes.get("/healthz")(taps.alive)
    routes.get("/readyz")(taps.ready)
    routes.get("/metrics")(taps.metrics)
    return routes


class _ThisMachine(Guard):
    def let_in(self, request: Request) -> None:
        if not is_loopback(request.url.hostname or ""):
            # A name of a foreign site that was made to lead here: its pages must not get in.
            raise ProblemError(HTTPStatus.MISDIRECTED_REQUEST, "the tap answers to localhost alone")


class _Taps:
    """The routes."""

    def __init__(self, context: TapContext, taking: Taking) -> None:
        self._context = context
        self._taking = taking
        self._exposition = Cached(
            partial(generate_latest, context.registry),
            clock=time.monotonic,
            max_age_s=context.max_age_s,
        )

    async def responses(self, request: Request) -> dict[str, int]:
        return await self._records(request, decode_responses, WireResponse)

    async def feedback(self, request: Request) -> dict[str, int]:
        return await self._records(request, decode_feedback, WireFeedback)

    async def traces(self, request: Request) -> Response:
        return await self._export(request, "traces")

    async def logs(self, request: Request) -> Response:
        return await self._export(request, "logs")

    async def _export(self, request: Request, signal: Signal) -> Response:
        body = await request.body()
        kind = export_type(request.headers.get("content-type", ""))
        export = await self._in_thread(
            lambda: self._taking.export(parsed_export(body, kind), signal)
        )
        return export.answer(signal, kind)

    async def alive(self) -> dict[str, str]:
        return {"status": "ok"}

    def ready(self) -> JSONResponse:
        problem = self._context.delivery.problem
        status = HTTPStatus.OK if problem is None else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"ready": problem is None, "broker": problem or "connected"}, status)

    def metrics(self) -> Response:
        return Response(self._exposition(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _records(
        self, request: Request, decode: batch.Decode, wire: type[msgspec.Struct]
    ) -> dict[str, int]:
        body = await request.body()
        kind = request.headers.get("content-type", "")
        checked = await run_in_threadpool(self._check, body, kind, decode, wire)
        source = request.url.path.rsplit("/", 1)[1]
        self._taking.metrics.refused(source, checked.refused)
        refuse_wrong(checked)
        await self._in_thread(lambda: self._taking.deliver(source, checked.accepted))
        return {"accepted": len(checked.accepted)}

    def _check(
        self, body: bytes, kind: str, decode: batch.Decode, wire: type[msgspec.Struct]
    ) -> batch.Checked:
        return batch.check(
            split_records(body, kind, self._context.api.max_batch_records),
            decode,
            options=self._context.ingest,
            key=self._context.pseudonym_key,
            now_s=self._context.clock(),
            wire=wire,
        )

    async def _in_thread(self, take: Callable[[], _Taken]) -> _Taken:
        try:
            return await run_in_threadpool(take)
        except (QueueFullError, UnreachableError) as error:
            raise _try_again(str(error)) from error


def _try_again(why: str) -> ProblemError:
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, why, headers={"Retry-After": "1"})
