"""The first values of an iterator, looked at before the whole is read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TypeVar

from candor_guard.errors import BadInputError

_Value = TypeVar("_Value")


def begun(values: Iterator[_Value], n: int) -> tuple[list[_Value], Iterator[_Value]]:
    """Up to `n` first values, and all values.

    An error behind at least one value is raised where the whole is read that far; at once without one.
    """
    first: list[_Value] = []
    try:
        first.extend(itertools.islice(values, n))
    except BadInputError as error:
        if not first:
            raise
        return first, itertools.chain(first, _failing(error))
    return first, itertools.chain(first, values)


def _failing(error: BadInputError | None) -> Iterator[_Value]:
    if error is not None:
        raise error
    yield from ()
