"""Whether a loop still moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pulse:
    """Beaten by a loop at each turn, read by whoever decides whether to restart the process.

    Parameters
    ----------
    still_s
        A loop that has not turned for so long hangs.
    stopwatch
        Monotonic seconds.
    """

    def __init__(self, still_s: float, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._still_s = still_s
        self._stopwatch = stopwatch
        self._lock = threading.Lock()
        self._beaten_s = stopwatch()

    def beat(self) -> None:
        """The loop has turned."""
        with self._lock:
            self._beaten_s = self._stopwatch()

    @property
    def problem(self) -> str | None:
        """What is wrong, or None while the loop moves."""
        with self._lock:
            still_s = self._stopwatch() - self._beaten_s
        if still_s <= self._still_s:
            return None
        return f"the loop has not turned for {still_s:.0f} s"
