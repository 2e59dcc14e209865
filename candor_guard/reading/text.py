"""JSON as it comes from the world: the one function that reads it, for files and for every door.

Text is repaired where its meaning is clear: half of a surrogate pair (an emoji cut in two) and NUL have no
place in UTF-8 text and in PostgreSQL.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from candor_guard.errors import BadInputError

MAX_DEPTH = 128
"""Arrays and objects in one another; what is nested deeper is refused."""
TOO_DEEP = f"not JSON: nested more than {MAX_DEPTH} levels deep"
BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class NotJsonError(ValueError):
    """Bytes that are no JSON value within the bounds; the text says why and quotes none of them."""


def read_json(
    data: bytes, *, finite: bool = False, broken: str = "\ufffd", depth: int = MAX_DEPTH
) -> Any:
    """One JSON value in UTF-8, a byte order mark before it or not; every text of it can be encoded.

    Parameters
    ----------
    finite
        Whether NaN, infinities and numbers beyond a float are refused; else they are read.
    broken
        What stands for each half of a surrogate pair, in texts and keys.
    depth
        Arrays and objects that may stand in one another.

    Raises NotJsonError: malformed, not UTF-8, a whole number of more than 4 300 digits, nested too deep.
    """
    data = data.removeprefix(BOM)
    is_sound = True
    try:
        value = msgspec.json.decode(data)
    except RecursionError as error:
        raise NotJsonError(TOO_DEEP) from error
    except (msgspec.MsgspecError, ValueError) as strict:
        value = _read_leniently(data, strict, finite)
        is_sound = False
    if data.count(b"[") + data.count(b"{") > depth and is_deeper(value, depth):
        raise NotJsonError(TOO_DEEP)
    return value if is_sound else each_text(value, lambda text: _SURROGATE.sub(broken, text))


def decode_json(data: bytes) -> tuple[Any, str | None]:
    """What `read_json` reads and None, or None and why there is none. No text raises."""
    try:
        return read_json(data), None
    except NotJsonError as error:
        return None, not_utf8(data.removeprefix(BOM)) or str(error)


def parse_json(data: bytes, where: str) -> Any:
    """As `decode_json`. Raises BadInputError naming `where`."""
    value, problem = decode_json(data)
    if problem is not None:
        raise BadInputError(problem, where)
    return value


def is_deeper(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Whether more than `depth` arrays and objects of a decoded value stand in one another."""
    level = [value]
    for _ in range(depth + 1):
        level = [one for one in level if isinstance(one, dict | list)]
        if not level:
            return False
        level = [
            inner for one in level for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return True


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """The JSON value with each of its texts changed, keys too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [each_text(item, change) for item in value]
    if isinstance(value, dict):
        return {change(str(key)): each_text(item, change) for key, item in value.items()}
    return value


def repaired(value: Any) -> Any:
    """The value with each half of a surrogate pair in texts and keys as U+FFFD."""
    return each_text(value, lambda text: _SURROGATE.sub("\ufffd", text))


def clean(text: str) -> str:
    """The text with NUL and halves of surrogate pairs replaced by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


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


def _read_leniently(data: bytes, strict: Exception, finite: bool) -> Any:
    # The standard parser takes halves of surrogate pairs, which msgspec refuses; it is three times slower.
    limits: dict[str, Any] = {"parse_constant": _refuse_constant, "parse_float": _finite}
    try:
        return json.loads(data.decode("utf-8"), **(limits if finite else {}))
    except RecursionError as error:
        raise NotJsonError(TOO_DEEP) from error
    except UnicodeDecodeError as error:
        raise NotJsonError(f"not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise NotJsonError(f"not JSON: {strict}") from error
    except ValueError as error:
        raise NotJsonError("not JSON: a number that is NaN, infinite or too long") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number beyond a float")
    return number
