"""The sidecar's HTTP surface: 202 (200 for OTLP) only once Kafka has the records."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.concurrency import run_in_threadpool

from evidence import UnreachableError
from monitor.http import problems
from monitor.http.access import is_loopback
from monitor.http.body import split_records
from monitor.http.door import Door
from monitor.http.options import ApiOptions
from monitor.http.problems import ProblemError
from monitor.http.records import refuse_wrong
from monitor.http.routes import DoorRoute, Guard
from monitor.http.traces import read_export
from monitor.ingest import batch
from monitor.ingest.decode import decode_feedback, decode_responses
from monitor.ingest.options import IngestOptions
from monitor.ingest.otlp import PASSED_OVER
from monitor.ingest.wire import WireFeedback, WireResponse
from monitor.tap.delivery import Delivery, Outgoing, QueueFullError
from monitor.telemetry import Cached
from monitor.telemetry.tap import TapMetrics

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TapContext:
    """The parts of a running sidecar.

    Parameters
    ----------
    api
        The limits on requests.
    pseudonym_key
        User ids are replaced here, so that none leaves the assistant's pod.
    clock
        Seconds since the epoch.
    max_age_s
        Metrics are written anew at most once in this time.
    """

    api: ApiOptions
    ingest: IngestOptions
    responses_topic: str
    feedback_topic: str
    delivery: Delivery
    registry: CollectorRegistry
    pseudonym_key: bytes
    clock: Callable[[], float] = time.time
    max_age_s: float = 1.0


def create_app(context: TapContext) -> FastAPI:
    """Routes: `/v1/responses`, `/v1/feedback`, `/v1/traces`, `/healthz`, `/readyz`, `/metrics`."""
    app = FastAPI(title="Candor tap", docs_url=None, redoc_url=None, openapi_url=None)
    problems.install(app)
    app.add_middleware(Door, options=context.api)
    app.include_router(_router(context))
    return app


def _router(context: TapContext) -> APIRouter:
    taps = _Taps(context, TapMetrics(context.registry, waiting=lambda: context.delivery.waiting))
    local = [Depends(_ThisMachine().let_in)]
    routes = APIRouter(route_class=DoorRoute)
    accepted = HTTPStatus.ACCEPTED
    routes.post("/v1/responses", status_code=accepted, dependencies=local)(taps.responses)
    routes.post("/v1/feedback", status_code=accepted, dependencies=local)(taps.feedback)
    routes.post("/v1/traces", dependencies=local)(taps.traces)
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

    def __init__(self, context: TapContext, metrics: TapMetrics) -> None:
        self._context = context
        self._metrics = metrics
        # Prometheus sees no increase in a series that begins at 1.
        metrics.passed_over(dict.fromkeys(PASSED_OVER, 0))
        self._topics = {
            WireResponse: context.responses_topic,
            WireFeedback: context.feedback_topic,
        }
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
        body = await request.body()
        context = self._context
        read = partial(
            read_export,
            options=context.ingest,
            key=context.pseudonym_key,
            now_s=context.clock(),
        )
        export = await run_in_threadpool(read, body, request.headers.get("content-type", ""))
        self._metrics.refused("traces", len(export.errors))
        self._metrics.passed_over(export.passed_over)
        await self._deliver("traces", context.responses_topic, export.accepted)
        if export.errors:
            log.warning("%d chat spans refused: %s", len(export.errors), export.reasons)
        return export.answer()

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
        self._metrics.refused(source, checked.refused)
        refuse_wrong(checked)
        await self._deliver(source, self._topics[wire], checked.accepted)
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

    async def _deliver(self, source: str, topic: str, records: Sequence[batch.Record]) -> None:
        if not records:
            return
        rows = [Outgoing(topic, batch.routing_key(r), batch.encode(r)) for r in records]
        started = time.monotonic()
        try:
            await run_in_threadpool(self._context.delivery.send, rows)
        except QueueFullError as error:
            self._metrics.undelivered(source, "queue_full", len(rows))
            raise _try_again(str(error)) from error
        except UnreachableError as error:
            self._metrics.undelivered(source, "broker", len(rows))
            raise _try_again(str(error)) from error
        self._metrics.delivered(source, len(rows), time.monotonic() - started)


def _try_again(why: str) -> ProblemError:
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, why, headers={"Retry-After": "1"})
