"""Examples of a trainer found among the released rows, each row once, in whatever order they stand."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from candor_guard.errors import RefusedError


class Comparison(Protocol):
    """How a row and an example are compared, and by what one is looked up."""

    def differs(self, index: int, item: Mapping[str, Any]) -> str: ...
    def found(self, item: Mapping[str, Any]) -> tuple[Any, ...]: ...
    def sought(self, index: int, length: int | None = None) -> Iterator[tuple[Any, ...]]: ...
    def cut_length(self, item: Mapping[str, Any]) -> int | None: ...


class Pool:
    """The rows that no example was found to be made of yet.

    Where the order is kept, example i is compared with row i and nothing else is made; the lookups
    are built when the first example stands elsewhere.
    """

    def __init__(self, rows: int, check: Comparison) -> None:
        self._left, self._rows, self._check = set(range(rows)), rows, check
        self._looked_up: dict[int | None, dict[bytes, list[int]]] = {}
        self._examples = 0

    @property
    def taken(self) -> int:
        return self._rows - len(self._left)

    def take(self, item: Mapping[str, Any]) -> None:
        """Take the row that the example is made of. Raises RefusedError where there is none."""
        index, self._examples = self._examples, self._examples + 1
        moved = bool(self._looked_up)
        wrong = self._check.differs(index, item) if index in self._left else ""
        if index in self._left and not wrong:
            self._left.remove(index)
            return
        for other in self._candidates(item):
            if other in self._left and not self._check.differs(other, item):
                self._left.remove(other)
                return
        if wrong and not moved:
            raise RefusedError("other_dataset", f"{wrong} of row {index} is not the released one")
        raise RefusedError(
            "other_dataset", f"row {index} of the trainer is no released row that is still left"
        )

    def _candidates(self, item: Mapping[str, Any]) -> Iterator[int]:
        key = _digest(self._check.found(item))
        yield from self._lookup(None).get(key, ())
        length = self._check.cut_length(item)
        if length is not None:
            yield from self._lookup(length).get(key, ())

    def _lookup(self, length: int | None) -> dict[bytes, list[int]]:
        if length not in self._looked_up:
            made: dict[bytes, list[int]] = defaultdict(list)
            for index in range(self._rows):
                for key in self._check.sought(index, length):
                    made[_digest(key)].append(index)
            self._looked_up[length] = made
        return self._looked_up[length]


def _digest(key: tuple[Any, ...]) -> bytes:
    return hashlib.sha256(repr(key).encode()).digest()
