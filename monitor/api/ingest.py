"""`POST /v1/responses` and `/v1/feedback`: checked like records from Kafka, 202 once durable."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from evidence import Feedback, Response
from monitor.api.access import Principal, Scope
from monitor.api.body import JSON_TYPE, NDJSON_TYPES, read_limited, split_records
from monitor.api.context import Context
from monitor.api.problems import ProblemError, documented
from monitor.api.schemas import feedback_schema, response_schema
from monitor.ingest.decode import decode_feedback, decode_response
from monitor.ingest.encode import encode_feedback, encode_response
from monitor.ingest.records import DeadLetter
from monitor.store import outbox

Record = Response | Feedback
_FIELD = re.compile(r"at `\$\.?([^`]*)`|field `([^`]+)`|^`([^`]+)`")
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
        take = partial(_take, context, decode_response, kafka.responses_topic)
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
    decode: Callable[..., Record | DeadLetter],
    topic: str,
    principal: Principal,
    raws: list[bytes],
) -> int:
    now_s = context.clock()
    accepted: list[Record] = []
    errors: list[tuple[str, str]] = []
    for index, raw in enumerate(raws):
        record = decode(
            raw, options=context.settings.ingest, key=context.pseudonym_key, now_s=now_s
        )
        if isinstance(record, DeadLetter):
            errors.append(_field_error(record, index if len(raws) > 1 else None))
        else:
            principal.check(_assistant(record))
            accepted.append(record)
    if errors:
        shown = "; ".join(f"{field}: {message}" for field, message in errors[:3])
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"nothing was taken: {shown}", errors=errors[:100]
        )
    with context.engine.begin() as connection:
        outbox.add(connection, topic, [(_key(r), _encode(r)) for r in accepted], now_s=now_s)
    return len(accepted)


def _assistant(record: Record) -> str:
    return record.stratum.assistant if isinstance(record, Response) else record.assistant


def _key(record: Record) -> bytes:
    """Kafka's partitioning key: a conversation stays in order; feedback follows its response's id."""
    if isinstance(record, Response):
        return record.conversation_id.encode()
    return record.response_id.encode()


def _encode(record: Record) -> bytes:
    return encode_response(record) if isinstance(record, Response) else encode_feedback(record)


def _field_error(letter: DeadLetter, index: int | None) -> tuple[str, str]:
    found = _FIELD.search(letter.detail)
    field = next((group for group in found.groups() if group), "") if found else ""
    prefix = "" if index is None else f"[{index}]"
    where = f"{prefix}.{field}" if prefix and field else prefix or field or "body"
    return where, f"{letter.reason.value}: {letter.detail}"


def _request_body(schema: dict[str, Any]) -> dict[str, Any]:
    many = {"oneOf": [schema, {"type": "array", "items": schema}]}
    content = {JSON_TYPE: {"schema": many}, NDJSON_TYPES[0]: {"schema": {"type": "string"}}}
    return {"requestBody": {"required": True, "content": content}}
