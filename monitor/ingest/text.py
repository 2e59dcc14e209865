"""JSON as it comes from the world: broken text is repaired where its meaning is clear.

A lone surrogate (an emoji cut in two) and NUL have no place in UTF-8 text and in PostgreSQL; both
become U+FFFD inside texts. Ids are not repaired: two broken ids must not become one.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import msgspec

from monitor.ingest.records import DeadLetterReason, Refused

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def parse_json(raw: bytes) -> dict[str, Any]:
    """One JSON object. Raises Refused: not JSON, NaN or infinity, nested too deep, no object."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        value = _parse_leniently(raw)
    if not isinstance(value, dict):
        raise Refused(DeadLetterReason.NOT_AN_OBJECT, f"the record is a JSON {_kind(value)}")
    return value


def clean(text: str) -> str:
    """The text with NUL and lone surrogates replaced by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def clean_all(value: Any) -> Any:
    """`clean` on every string of a JSON value, keys too."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [clean_all(item) for item in value]
    if isinstance(value, dict):
        return {clean(str(key)): clean_all(item) for key, item in value.items()}
    return value


def _parse_leniently(raw: bytes) -> Any:
    # The standard parser takes lone surrogates, which msgspec refuses; it is three times slower.
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        shown = type(error).__name__
        raise Refused(DeadLetterReason.NOT_JSON, f"not UTF-8 JSON ({shown})") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _kind(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
