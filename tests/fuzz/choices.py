"""Where a fuzzer's choices come from: a seeded random generator, Hypothesis, or atheris' bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

_Item = TypeVar("_Item")


class Choices:
    """All that the grammar asks for; an engine gives `index`."""

    def index(self, n: int) -> int:
        """One of 0 to n - 1."""
        raise NotImplementedError

    def pick(self, items: Sequence[_Item]) -> _Item:
        return items[self.index(len(items))]

    def chance(self, one_in: int) -> bool:
        return self.index(one_in) == one_in - 1


class RandomChoices(Choices):
    """Fast, and the same again for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def index(self, n: int) -> int:
        return int(self._random.random() * n)


class DrawnChoices(Choices):
    """Drawn by Hypothesis, which then shrinks a find."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self._draw = draw

    def index(self, n: int) -> int:
        return int(self._draw(st.integers(0, n - 1))) if n > 1 else 0


class _Provider(Protocol):
    def ConsumeIntInRange(self, low: int, high: int) -> int: ...  # noqa: N802


class ConsumedChoices(Choices):
    """Taken from the bytes that atheris grows by coverage."""

    def __init__(self, provider: _Provider) -> None:
        self._provider = provider

    def index(self, n: int) -> int:
        return self._provider.ConsumeIntInRange(0, n - 1) if n > 1 else 0
