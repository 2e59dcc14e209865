"""The sidecar's HTTP surface: 202 (200 for OTLP) only once Kafka has the records."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.concurrency import run_in_threadpool

from evidence import UnreachableError
from monitor.http import problems
from monitor.http.access import is_loopback
from monitor.http.body import read_limited, split_records
from monitor.http.problems import ProblemError
from monitor.http.records import refuse_wrong
from monitor.ingest import batch
from monitor.ingest.decode import decode_feedback, decode_responses, decode_spans
from monitor.settings import Settings
from monitor.tap.delivery import Delivery, Outgoing, QueueFullError
from monitor.tap.traces import answer, media_type, read_export
from monitor.telemetry.tap import TapMetrics

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TapContext:
    """The parts of a running sidecar.

    Parameters
    ----------
    pseudonym_key
        User ids are replaced here, so that none leaves the assistant's pod.
    clock
        Seconds since the epoch.
    """

    settings: Settings
    delivery: Delivery
    registry: CollectorRegistry
    pseudonym_key: bytes
    clock: Callable[[], float] = time.time


def create_app(context: TapContext) -> FastAPI:
    """Routes: `/v1/responses`, `/v1/feedback`, `/v1/traces`, `/healthz`, `/readyz`, `/metrics`."""
    app = FastAPI(title="Candor tap", docs_url=None, redoc_url=None, openapi_url=None)
    problems.install(app)
    taps = _Taps(context, TapMetrics(context.registry, waiting=lambda: context.delivery.waiting))
    local = [Depends(_from_this_machine)]
    app.post("/v1/responses", status_code=HTTPStatus.ACCEPTED, dependencies=local)(taps.responses)
    app.post("/v1/feedback", status_code=HTTPStatus.ACCEPTED, dependencies=local)(taps.feedback)
    app.post("/v1/traces", dependencies=local)(taps.traces)
    app.get("/healthz")(lambda: {"status": "ok"})
    app.get("/readyz")(taps.ready)
    app.get("/metrics")(taps.metrics)
    return app


class _Taps:
    """The routes."""

    def __init__(self, context: TapContext, metrics: TapMetrics) -> None:
        self._context = context
        self._metrics = metrics
        self._kafka = context.settings.kafka

    async def responses(self, request: Request) -> dict[str, int]:
        return await self._records(request, decode_responses, self._kafka.responses_topic)

    async def feedback(self, request: Request) -> dict[str, int]:
        return await self._records(request, decode_feedback, self._kafka.feedback_topic)

    async def traces(self, request: Request) -> Response:
        limit = self._context.settings.api.max_body_bytes
        body = await read_limited(request, limit)
        content_type = request.headers.get("content-type", "")
        encoding = request.headers.get("content-encoding", "").strip().lower()
        spans = read_export(body, content_type, encoding, limit)
        context = self._context
        found = decode_spans(
            spans,
            options=context.settings.ingest,
            key=context.pseudonym_key,
            now_s=context.clock(),
        )
        checked = batch.sort_out(found)
        self._metrics.refused("traces", len(checked.errors))
        self._metrics.passed_over(spans.passed_over)
        await self._deliver("traces", self._kafka.responses_topic, checked.accepted)
        shown = "; ".join(f"{field}: {message}" for field, message in checked.errors[:3])
        if checked.errors:
            log.warning("%d of %d chat spans refused: %s", len(checked.errors), len(found), shown)
        kind = media_type(content_type)
        return Response(answer(kind, len(checked.errors), shown), media_type=kind)

    def ready(self) -> JSONResponse:
        problem = self._context.delivery.problem
        status = HTTPStatus.OK if problem is None else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"ready": problem is None, "broker": problem or "connected"}, status)

    def metrics(self) -> Response:
        text = generate_latest(self._context.registry)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _records(self, request: Request, decode: batch.Decode, topic: str) -> dict[str, int]:
        options = self._context.settings.api
        body = await read_limited(request, options.max_body_bytes)
        kind = request.headers.get("content-type", "")
        checked = self._check(split_records(body, kind, options.max_batch_records), decode)
        source = request.url.path.rsplit("/", 1)[1]
        self._metrics.refused(source, len(checked.errors))
        refuse_wrong(checked)
        await self._deliver(source, topic, checked.accepted)
        return {"accepted": len(checked.accepted)}

    def _check(self, records: Sequence[bytes], decode: batch.Decode) -> batch.Checked:
        return batch.check(
            records,
            decode,
            options=self._context.settings.ingest,
            key=self._context.pseudonym_key,
            now_s=self._context.clock(),
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


def _from_this_machine(request: Request) -> None:
    if not is_loopback(request.url.hostname or ""):
        # A name of a foreign site that was made to lead here: its pages must not get in.
        raise ProblemError(HTTPStatus.MISDIRECTED_REQUEST, "the tap answers to localhost alone")
