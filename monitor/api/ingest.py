"""`POST /v1/responses`, `/v1/feedback`, `/v1/traces`, `/v1/logs`: checked like records from Kafka, taken once durable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from evidence import Feedback
from monitor.api.context import Context
from monitor.api.schemas import feedback_schema, response_schema
from monitor.http.access import Principal, Scope
from monitor.http.body import JSON_TYPE, NDJSON_TYPES, split_records
from monitor.http.otlp import PROTOBUF_TYPE, Signal, export_type, read_export
from monitor.http.records import refuse_wrong
from monitor.http.routes import DoorRoute
from monitor.ingest import batch
from monitor.ingest.decode import decode_feedback, decode_responses
from monitor.ingest.wire import WireFeedback, WireResponse
from monitor.store import outbox


class Accepted(BaseModel):
    """The records are in the store and will reach the topic."""

    accepted: int = Field(description="Records taken: all of the request.")


def router(context: Context) -> APIRouter:
    """The ingest routes."""
    routes = APIRouter(route_class=DoorRoute, prefix="/v1", tags=["ingest"])
    may_ingest = Depends(context.access.require(Scope.INGEST))
    kafka = context.settings.kafka

    take_responses = partial(
        _take,
        context,
        decode=decode_responses,
        wire=WireResponse,
        topic=kafka.responses_topic,
    )
    take_feedback = partial(
        _take, context, decode=decode_feedback, wire=WireFeedback, topic=kafka.feedback_topic
    )

    @routes.post(
        "/responses",
        status_code=HTTPStatus.ACCEPTED,
        summary="Take responses of an assistant",
        openapi_extra=_request_body(response_schema()),
    )
    async def post_responses(request: Request, principal: Principal = may_ingest) -> Accepted:
        """One JSON object, a list of them, or NDJSON. All records are taken, or none."""
        kind, body = request.headers.get("content-type", ""), await request.body()
        taken = await run_in_threadpool(take_responses, principal, body, kind)
        return Accepted(accepted=taken)

    @routes.post(
        "/feedback",
        status_code=HTTPStatus.ACCEPTED,
        summary="Take users' feedback on responses",
        openapi_extra=_request_body(feedback_schema()),
    )
    async def post_feedback(request: Request, principal: Principal = may_ingest) -> Accepted:
        """One JSON object, a list of them, or NDJSON. All records are taken, or none."""
        kind, body = request.headers.get("content-type", ""), await request.body()
        taken = await run_in_threadpool(take_feedback, principal, body, kind)
        return Accepted(accepted=taken)

    @routes.post(
        "/traces",
        summary="Take GenAI spans of OpenTelemetry (OTLP over HTTP)",
        response_class=Response,
        responses={200: {"content": {JSON_TYPE: {}, PROTOBUF_TYPE: {}}}},
        openapi_extra=_export_body(),
    )
    async def post_traces(request: Request, principal: Principal = may_ingest) -> Response:
        """Chat spans become responses, spans of tools and agents parts of them; what is wrong is told in
        `partialSuccess`."""
        kind, body = request.headers.get("content-type", ""), await request.body()
        return await run_in_threadpool(_take_export, context, principal, body, kind, "traces")

    @routes.post(
        "/logs",
        summary="Take GenAI events of OpenTelemetry (OTLP over HTTP)",
        response_class=Response,
        responses={200: {"content": {JSON_TYPE: {}, PROTOBUF_TYPE: {}}}},
        openapi_extra=_export_body(),
    )
    async def post_logs(request: Request, principal: Principal = may_ingest) -> Response:
        """Events become responses, messages of them, and users' feedback; what is wrong is told in
        `partialSuccess`."""
        kind, body = request.headers.get("content-type", ""), await request.body()
        return await run_in_threadpool(_take_export, context, principal, body, kind, "logs")

    return routes


def _take(
    context: Context,
    principal: Principal,
    body: bytes,
    content_type: str,
    *,
    decode: batch.Decode,
    wire: type[msgspec.Struct],
    topic: str,
) -> int:
    settings = context.settings
    checked = batch.check(
        split_records(body, content_type, settings.api.max_batch_records),
        decode,
        options=settings.ingest,
        key=context.pseudonym_key,
        now_s=context.clock(),
        wire=wire,
    )
    for record in checked.accepted:
        principal.check(batch.assistant_of(record))
    refuse_wrong(checked)
    _put(context, {topic: checked.accepted})
    return len(checked.accepted)


def _take_export(
    context: Context, principal: Principal, body: bytes, content_type: str, signal: Signal
) -> Response:
    settings = context.settings
    export = read_export(
        body,
        content_type,
        options=settings.ingest,
        key=context.pseudonym_key,
        now_s=context.clock(),
    )
    for record in export.accepted:
        principal.check(batch.assistant_of(record))
    feedback = [one for one in export.accepted if isinstance(one, Feedback)]
    others = [one for one in export.accepted if not isinstance(one, Feedback)]
    kafka = settings.kafka
    _put(context, {kafka.responses_topic: others, kafka.feedback_topic: feedback})
    return export.answer(signal, export_type(content_type))


def _put(context: Context, records: Mapping[str, Sequence[batch.Record]]) -> None:
    """Records by topic, in one transaction."""
    with context.engine.begin() as connection:
        for topic, of_topic in records.items():
            rows = [(batch.routing_key(one), batch.encode(one)) for one in of_topic]
            outbox.add(connection, topic, rows, now_s=context.clock())


def _request_body(schema: dict[str, Any]) -> dict[str, Any]:
    many = {"oneOf": [schema, {"type": "array", "items": schema}]}
    content = {JSON_TYPE: {"schema": many}, NDJSON_TYPES[0]: {"schema": {"type": "string"}}}
    return {"requestBody": {"required": True, "content": content}}


def _export_body() -> dict[str, Any]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    content = {JSON_TYPE: {"schema": {"type": "object"}}, PROTOBUF_TYPE: binary}
    return {"requestBody": {"required": True, "content": content}}
