"""Numbers, times and yes or no, as JSON, tables and other tools write them."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from typing import Any, TypeVar

from candor_guard.errors import BadInputError
from candor_guard.reading.shapes import looks_like

_Value = TypeVar("_Value")
_Default = TypeVar("_Default")
_NO_DEFAULT: Any = object()
_WORDS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))
"""Below a magnitude an epoch is in seconds, milliseconds, microseconds, nanoseconds: 1973 to 5138."""


def field(
    values: dict[str, Any],
    name: str,
    read: Callable[[Any], _Value],
    where: str,
    default: _Default = _NO_DEFAULT,
) -> _Value | _Default:
    """One field by one of the readers below; missing and null take the default.

    Raises BadInputError naming the field.
    """
    given = values.get(name)
    if given is None:
        if default is _NO_DEFAULT:
            seems = looks_like(values)
            raise BadInputError(
                f"`{name}` is missing" + (f": looks like {seems}" if seems else ""), where
            )
        return default
    try:
        return read(given)
    except ValueError as error:
        raise BadInputError(f"`{name}` {error}", where) from error


def label_of(value: Any) -> bool | None:
    """What a label says; None when it says neither. Tables hold their labels as text.

    >>> [label_of(value) for value in (True, 0, "True", "0", None, "lie", float("nan"))]
    [True, False, True, False, None, None, None]
    """
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower())
    return bool(value) if isinstance(value, bool | int | float) and value in {0, 1} else None


def truth(value: Any) -> bool:
    """Yes or no, as `label_of`. Raises ValueError for anything else."""
    said = label_of(value)
    if said is None:
        raise ValueError(f"is {_shown(value)}, not true or false")
    return said


def text(value: Any) -> str:
    """Text that is not empty; a whole number is one as well. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise ValueError(f"is {_shown(value)}, not text" if value != "" else "is empty")
    return value


def number(value: Any) -> float:
    """A finite number, also written as text. Raises ValueError.

    >>> number("0.5")
    0.5
    """
    try:
        found = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if isinstance(value, bool) or not math.isfinite(found):
        also = ", and not JSON" if isinstance(value, float) else ""
        raise ValueError(f"is {_shown(value)}, not a finite number{also}")
    return found


def within(lower: float, upper: float) -> Callable[[Any], float]:
    """A reader of numbers in [lower, upper]."""

    def read(value: Any) -> float:
        found = number(value)
        if not lower <= found <= upper:
            raise ValueError(f"is {_shown(value)}, not within [{lower:g}, {upper:g}]")
        return found

    return read


def time_s(value: Any) -> float:
    """Seconds since the epoch of RFC 3339 with a time zone, or of an epoch in any unit.

    An epoch counts in seconds up to 1e11 (the year 5138), then in milliseconds, microseconds and
    nanoseconds. Raises ValueError for what has no zone, is no time or lies before 1970.

    >>> time_s("2026-11-29T01:00:00Z") == time_s(1795914000) == time_s("1795914000000")
    True
    """
    if isinstance(value, str) and not value.strip()[:8].isdigit():
        return _calendar_s(value)
    if isinstance(value, datetime.datetime):
        return _aware_s(value)
    if isinstance(value, str) and len(value.strip()) == 8:
        raise ValueError(f"is {_shown(value)}, which has no time of day and no time zone")
    try:
        found = number(value)
    except ValueError:
        return _calendar_s(str(value))
    if not 0 <= found < _UNITS[-1][0]:
        raise ValueError(f"is {_shown(value)}, not a time since 1970")
    return next(found / scale for below, scale in _UNITS if found < below)


def _calendar_s(value: str) -> float:
    try:
        at = datetime.datetime.fromisoformat(value.strip())
    except ValueError:
        what = "not a time: RFC 3339 or an epoch is read"
        raise ValueError(f"is {_shown(value)}, {what}") from None
    return _aware_s(at)


def _aware_s(at: datetime.datetime) -> float:
    if at.tzinfo is None:
        raise ValueError(f"is {at.isoformat()!r}, which has no time zone")
    try:
        found = at.timestamp()
    except OverflowError:
        found = -1.0
    if found < 0:
        raise ValueError(f"is {at.isoformat()!r}, not a time since 1970")
    return found


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
