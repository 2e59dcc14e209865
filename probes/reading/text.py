"""One JSON value from bytes: what other tools write beyond the standard is read, all else is named."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from evidence import BadInputError

MAX_DEPTH = 128
"""Arrays and objects in one another; what is nested deeper is refused."""
TOO_DEEP = f"not JSON: nested more than {MAX_DEPTH} levels deep"
BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile("[\ud800-\udfff]")


def decode_json(data: bytes) -> tuple[Any, str | None]:
    """The value of a JSON text and None, or None and why there is none.

    Beyond the standard a byte order mark, NaN and infinities are read; half of a surrogate pair (an
    emoji cut in two) becomes U+FFFD. Whole numbers of any size are kept. No text raises.
    """
    data = data.removeprefix(BOM)
    try:
        value = msgspec.json.decode(data)
    except RecursionError:
        return None, TOO_DEEP
    except (msgspec.MsgspecError, UnicodeError) as strict:
        return _decode_leniently(data, strict)
    return checked(value) if data.count(b"[") + data.count(b"{") > MAX_DEPTH else (value, None)


def parse_json(data: bytes, where: str) -> Any:
    """As `decode_json`. Raises BadInputError naming `where`."""
    value, problem = decode_json(data)
    if problem is not None:
        raise BadInputError(problem, where)
    return value


def checked(value: Any) -> tuple[Any, str | None]:
    """A decoded value and None, or None and the problem where it is nested too deeply."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return value, None
    return (None, TOO_DEEP) if level else (value, None)


def repaired(value: Any) -> Any:
    """The value with each half of a surrogate pair in texts and keys as U+FFFD."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [repaired(item) for item in value]
    if isinstance(value, dict):
        return {repaired(key): repaired(item) for key, item in value.items()}
    return value


def not_utf8(data: bytes) -> str | None:
    """What these bytes are instead of UTF-8 text, with what to do; None when they are UTF-8."""
    if wide := wide_text(data[:64]):
        return wide
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        column = len(data[: error.start].decode("utf-8", "replace")) + 1
        return (
            f"not UTF-8 text: byte 0x{data[error.start]:02x} at column {column}, perhaps Latin-1;"
            " convert it with `iconv -f WINDOWS-1252 -t UTF-8`"
        )
    return None


def wide_text(head: bytes) -> str | None:
    """Says that a file is UTF-16 or UTF-32, by its mark or by its zero bytes."""
    marked = head.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff"))
    zeros = (head[0:8:2].count(0), head[1:8:2].count(0))
    if marked or (len(head) >= 4 and max(zeros) >= 2 and b"\x00" in head[:4]):
        return "is UTF-16, not UTF-8 text; convert it with `iconv -f UTF-16 -t UTF-8`"
    return None


def _decode_leniently(data: bytes, strict: Exception) -> tuple[Any, str | None]:
    if problem := not_utf8(data):
        return None, problem
    try:
        value, problem = checked(json.loads(data.decode("utf-8")))
    except RecursionError:
        return None, TOO_DEEP
    except ValueError:
        return None, f"not JSON: {strict}"
    return (repaired(value), None) if problem is None else (None, problem)
