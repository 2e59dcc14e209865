"""One value of a file, or why there is none."""

from __future__ import annotations

from typing import Any, NamedTuple

LARGEST = 1 << 26
"""Bytes of one value."""


class Item(NamedTuple):
    """One value of a file, or why there is none.

    `where` is `file:line` (Parquet: `file:row 3`), `number` that line or row, `name` an id for a value
    that has none of its own. `share` is how much of the file was read for it, 0 where not known.
    """

    where: str
    number: int
    name: str
    value: Any
    error: str | None = None
    share: float = 0.0
