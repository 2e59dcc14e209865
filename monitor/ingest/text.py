"""JSON at the doors of the service: what is refused there becomes a dead letter with its reason.

Half of a surrogate pair becomes NUL and not U+FFFD, so that ids with one are refused and `clean` repairs
texts: two broken ids must not become one.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from candor_guard.reading.text import BOM, MAX_DEPTH, NotJsonError, clean, each_text, read_json
from monitor.ingest.records import DeadLetterReason, Refused

_raw_list = msgspec.json.Decoder(list[msgspec.Raw])


def parse_json(raw: bytes) -> dict[str, Any]:
    """One JSON object, read by `parse_value`; Refused too when it is no object."""
    value = parse_value(raw)
    if not isinstance(value, dict):
        raise Refused(DeadLetterReason.NOT_AN_OBJECT, f"the record is a JSON {_kind(value)}")
    return value


def parse_value(raw: bytes, *, depth: int = MAX_DEPTH) -> Any:
    """One JSON value of finite numbers, as `read_json`. Raises Refused (`not_json`)."""
    try:
        return read_json(raw, finite=True, broken="\x00", depth=depth)
    except NotJsonError as error:
        raise Refused(DeadLetterReason.NOT_JSON, str(error)) from error


def split_json(body: bytes) -> list[bytes]:
    """The items of a JSON list, each as it can be parsed by itself; one that is no list is one item.

    Empty for a body of white space. Raises Refused when a list cannot be read.
    """
    body = without_bom(body).strip()
    if not body.startswith(b"["):
        return [body] if body else []
    try:
        return [bytes(item) for item in _raw_list.decode(body)]
    except (msgspec.DecodeError, ValueError, RecursionError):
        values = parse_value(body, depth=MAX_DEPTH + 1)
    return [json.dumps(item).encode() for item in values]


def without_bom(raw: bytes) -> bytes:
    """Text as some editors save it begins with a mark that is no part of it."""
    return raw.removeprefix(BOM)


def clean_all(value: Any) -> Any:
    """`clean` on every text of a JSON value, keys too."""
    return each_text(value, clean)


def _kind(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
