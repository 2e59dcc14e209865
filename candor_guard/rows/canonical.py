"""One form of a row's values, whichever file they came from, so that equal rows have equal digests."""

from __future__ import annotations

import base64
import datetime as dt
import math
import re
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from candor_guard.errors import BadInputError
from candor_guard.reading.text import MAX_DEPTH, repaired

_INT64 = 1 << 63
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_IN_UTC = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.(?!000000)\d{6})?\+00:00", re.ASCII
)
_encoder = msgspec.json.Encoder(order="sorted")


def without_nulls(value: Any, where: str, depth: int = 0) -> Any:
    """The value without the keys whose value is null, at any depth: Arrow fills in nulls for missing keys.

    Lone surrogates, which no tokenizer and no Parquet file can hold, become U+FFFD. Raises
    BadInputError for what is nested more than `MAX_DEPTH` levels deep.
    """
    if isinstance(value, str):
        return value if value.isascii() else repaired(value)
    if depth > MAX_DEPTH:
        raise BadInputError(f"nested more than {MAX_DEPTH} levels deep", where)
    if isinstance(value, list | tuple):
        return [without_nulls(item, where, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, item in value.items():
        if isinstance(item, str) and item.isascii():
            found[_name(name)] = item
        elif item is not None:
            found[_name(name)] = without_nulls(item, where, depth + 1)
    return found


def _name(name: Any) -> str:
    return name if isinstance(name, str) and name.isascii() else repaired(str(name))


def canonical(value: dict[str, Any], *, verbatim: frozenset[str] = frozenset()) -> bytes:
    """The bytes that a digest is made of: JSON with sorted keys of values in one form each.

    - A key without a value, with null or with a number that is not finite is the same: absent.
    - A whole number is one number, written 1 or 1.0; beyond 64 bits it is a float, as readers of
      JSON and Parquet make it.
    - A time is an instant in UTC, as text or as a timestamp, and a date is its midnight: readers
      of JSON make timestamps of such texts. `verbatim` names the columns that are trained, whose
      texts stay as they are.
    - Bytes are their base64 text, decimals and durations their text: as JSONL holds them.
    """
    return _encoder.encode(
        {
            name: made
            for name, item in value.items()
            if (made := _one_form(item, times=name not in verbatim)) is not None
        }
    )


def instant(text: str) -> str:
    """A date or time as an instant in UTC; a time without a zone is UTC; other text as it is.

    >>> instant("2026-11-01 01:00:00+01:00"), instant("2026-11-01"), instant("soon")
    ('2026-11-01T00:00:00', '2026-11-01T00:00:00', 'soon')
    """
    if text[4:5] != "-":
        return text
    is_in_utc = _IN_UTC.fullmatch(text) is not None  # as Candor writes times: nearly all of them
    if not is_in_utc and _TIME.fullmatch(text) is None:
        return text
    try:
        found = dt.datetime.fromisoformat(text)
        if is_in_utc:
            return text.removesuffix("+00:00")
        if found.tzinfo is not None:
            found = found.astimezone(dt.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return text
    return found.isoformat()


def _one_form(value: Any, *, times: bool) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return instant(value) if times else value
    if isinstance(value, dict):
        return {
            str(name): made
            for name, item in value.items()
            if (made := _one_form(item, times=times)) is not None
        }
    if isinstance(value, list | tuple):
        return [_one_form(item, times=times) for item in value]
    if isinstance(value, int | float):
        return _number(value)
    return _text(value)


def _number(value: float) -> int | float | None:
    if isinstance(value, int):
        if -_INT64 <= value < _INT64:
            return value
        try:
            return float(value)
        except OverflowError:
            return None
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and -_INT64 <= value < _INT64 else value


def _text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, dt.datetime | dt.date):
        return instant(value.isoformat())
    if isinstance(value, dt.timedelta | dt.time | Decimal | UUID):
        return str(msgspec.to_builtins(value))
    raise BadInputError(f"a value of type {type(value).__name__} cannot be kept")
