"""`POST /v1/responses` and `/v1/feedback`: checked like records from Kafka, 202 once durable."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from monitor.api.context import Context
from monitor.api.schemas import feedback_schema, response_schema
from monitor.http.access import Principal, Scope
from monitor.http.body import JSON_TYPE, NDJSON_TYPES, read_limited, split_records
from monitor.http.problems import documented
from monitor.http.records import refuse_wrong
from monitor.ingest import batch
from monitor.ingest.decode import decode_feedback, decode_responses
from monitor.store import outbox

_PROBLEMS = documented(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


class Accepted(BaseModel):
    """The records are in the store and will reach the topic."""

    accepted: int = Field(description="Records taken: all of the request.")


def router(context: Context) -> APIRouter:
    """The two ingest routes."""
    routes = APIRouter(prefix="/v1", tags=["ingest"])
    may_ingest = Depends(context.access.require(Scope.INGEST))
    kafka = context.settings.kafka

    @routes.post(
        "/responses",
        status_code=HTTPStatus.ACCEPTED,
        responses=_PROBLEMS,
        summary="Take responses of an assistant",
        openapi_extra=_request_body(response_schema()),
    )
    async def post_responses(request: Request, principal: Principal = may_ingest) -> Accepted:
        """One JSON object, a list of them, or NDJSON. All records are taken, or none."""
        take = partial(_take, context, decode_responses, kafka.responses_topic)
        return await _receive(context, request, principal, take)

    @routes.post(
        "/feedback",
        status_code=HTTPStatus.ACCEPTED,
        responses=_PROBLEMS,
        summary="Take users' feedback on responses",
        openapi_extra=_request_body(feedback_schema()),
    )
    async def post_feedback(request: Request, principal: Principal = may_ingest) -> Accepted:
        """One JSON object, a list of them, or NDJSON. All records are taken, or none."""
        take = partial(_take, context, decode_feedback, kafka.feedback_topic)
        return await _receive(context, request, principal, take)

    return routes


async def _receive(
    context: Context,
    request: Request,
    principal: Principal,
    take: Callable[[Principal, list[bytes]], int],
) -> Accepted:
    options = context.settings.api
    body = await read_limited(request, options.max_body_bytes)
    content_type = request.headers.get("content-type", "")
    records = split_records(body, content_type, options.max_batch_records)
    return Accepted(accepted=await run_in_threadpool(take, principal, records))


def _take(
    context: Context,
    decode: batch.Decode,
    topic: str,
    principal: Principal,
    raws: list[bytes],
) -> int:
    now_s = context.clock()
    checked = batch.check(
        raws, decode, options=context.settings.ingest, key=context.pseudonym_key, now_s=now_s
    )
    for record in checked.accepted:
        principal.check(batch.assistant_of(record))
    refuse_wrong(checked)
    rows = [(batch.routing_key(record), batch.encode(record)) for record in checked.accepted]
    with context.engine.begin() as connection:
        outbox.add(connection, topic, rows, now_s=now_s)
    return len(rows)


def _request_body(schema: dict[str, Any]) -> dict[str, Any]:
    many = {"oneOf": [schema, {"type": "array", "items": schema}]}
    content = {JSON_TYPE: {"schema": many}, NDJSON_TYPES[0]: {"schema": {"type": "string"}}}
    return {"requestBody": {"required": True, "content": content}}
