"""A bound on time that several steps share."""

from __future__ import annotations

from collections.abc import Callable


class Deadline:
    """`timeout_s` from now, by a stopwatch of monotonic seconds."""

    def __init__(self, timeout_s: float, stopwatch: Callable[[], float]) -> None:
        self._stopwatch = stopwatch
        self._end_s = stopwatch() + timeout_s

    @property
    def left_s(self) -> float:
        """Seconds that are left, never negative."""
        return max(0.0, self._end_s - self._stopwatch())

    @property
    def passed(self) -> bool:
        return self.left_s <= 0.0
