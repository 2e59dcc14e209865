"""JSON as it comes from the world: the one function that reads it, for every door.

Text is repaired where its meaning is clear. A lone surrogate (an emoji cut in two) and NUL have no place
in UTF-8 text and in PostgreSQL; both become U+FFFD inside texts. Ids are not repaired: two broken ids
must not become one.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import msgspec

from monitor.ingest.records import DeadLetterReason, Refused

MAX_DEPTH = 128
"""Arrays and objects in one another; text that is nested deeper is refused."""

_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def parse_json(raw: bytes) -> dict[str, Any]:
    """One JSON object, read by `parse_value`; Refused too when it is no object."""
    value = parse_value(raw)
    if not isinstance(value, dict):
        raise Refused(DeadLetterReason.NOT_AN_OBJECT, f"the record is a JSON {_kind(value)}")
    return value


def parse_value(raw: bytes) -> Any:
    """One JSON value in UTF-8, a byte order mark before it or not.

    Every string of the result, keys too, can be encoded: NUL stands for each lone surrogate, so
    that ids with one are refused and `clean` repairs texts. Raises Refused (`not_json`): malformed,
    not UTF-8, NaN, a number beyond a float or of more than 4 300 digits, nested deeper than
    `MAX_DEPTH`.
    """
    raw = without_bom(raw)
    try:
        value = msgspec.json.decode(raw)
        is_sound = True
    except (msgspec.DecodeError, ValueError, RecursionError):
        value = _parse_leniently(raw)
        is_sound = False
    _check_depth(raw, value, MAX_DEPTH)
    return value if is_sound else _encodable(value)


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
        values = _parse_leniently(body)
        _check_depth(body, values, MAX_DEPTH + 1)
    return [json.dumps(item).encode() for item in values]


def without_bom(raw: bytes) -> bytes:
    """Text as some editors save it begins with a mark that is no part of it."""
    return raw.removeprefix(_BOM)


def clean(text: str) -> str:
    """The text with NUL and lone surrogates replaced by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def clean_all(value: Any) -> Any:
    """`clean` on every string of a JSON value, keys too; as deep as `MAX_DEPTH` lets it be."""
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
        text = raw.decode("utf-8")
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise _too_deep() from error
    except UnicodeDecodeError as error:
        raise Refused(DeadLetterReason.NOT_JSON, f"not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise Refused(DeadLetterReason.NOT_JSON, f"malformed (character {error.pos})") from error
    except ValueError as error:
        what = "a number that is NaN, infinite or too long"
        raise Refused(DeadLetterReason.NOT_JSON, what) from error


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\x00", value)
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def _check_depth(raw: bytes, value: Any, depth: int) -> None:
    if raw.count(b"[") + raw.count(b"{") > depth and _is_deeper(value, depth):
        raise _too_deep()


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return False
        level = [
            child for item in level for child in (item.values() if isinstance(item, dict) else item)
        ]
    return True


def _too_deep() -> Refused:
    return Refused(DeadLetterReason.NOT_JSON, f"nested deeper than {MAX_DEPTH} levels")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number beyond a float")
    return number


def _kind(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
