"""Request bodies, cut into single records."""

from __future__ import annotations

from http import HTTPStatus

from monitor.http.problems import ProblemError
from monitor.ingest.records import Refused
from monitor.ingest.text import split_json, without_bom

JSON_TYPE = "application/json"
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")


def media_type(content_type: str) -> str:
    """The type of a `Content-Type` header, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def split_records(body: bytes, content_type: str, max_records: int) -> list[bytes]:
    """One JSON object, a JSON list of objects, or NDJSON, as the bytes of each record.

    The content type is required: a page in a browser cannot send it across sites without asking.
    Raises ProblemError with 400, 413 or 415.
    """
    kind = media_type(content_type)
    if kind in NDJSON_TYPES:
        records = [line for line in without_bom(body).splitlines() if line.strip()]
    elif kind == JSON_TYPE:
        records = _from_json(body)
    else:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the content type is {JSON_TYPE} or {NDJSON_TYPES[0]}, not {kind or 'missing'}",
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
