"""Request bodies: read with a limit, then cut into single records."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import Request

from monitor.http.problems import ProblemError
from monitor.ingest.records import Refused
from monitor.ingest.text import split_json

JSON_TYPE = "application/json"
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")


async def read_limited(request: Request, max_bytes: int) -> bytes:
    """The body, or 413 as soon as it is known to be longer than `max_bytes`."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def split_records(body: bytes, content_type: str, max_records: int) -> list[bytes]:
    """One JSON object, a JSON list of objects, or NDJSON, as the bytes of each record.

    The content type is required: a page in a browser cannot send it across sites without asking.
    Raises ProblemError with 400, 413 or 415.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in NDJSON_TYPES:
        records = [line for line in body.splitlines() if line.strip()]
    elif media_type == JSON_TYPE:
        records = _from_json(body)
    else:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the content type is {JSON_TYPE} or {NDJSON_TYPES[0]}, not {media_type or 'missing'}",
        )
    if not records:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "the body holds no record")
    if len(records) > max_records:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{len(records)} records in one request, at most {max_records} are taken",
        )
    return records


def _from_json(body: bytes) -> list[bytes]:
    try:
        return split_json(body)
    except Refused as refused:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"the body: {refused}") from refused


def _too_large(max_bytes: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {max_bytes} bytes"
    )
