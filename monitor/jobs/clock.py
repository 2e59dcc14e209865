"""A clock that follows the wall clock's rate and not its jumps."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

_DRIFT_S = 30.0
"""What the wall clock is corrected by in ordinary running; more than that at once is a jump."""


def elapsed_s() -> float:
    """Monotonic seconds that also pass while the machine sleeps, where the system has such a clock."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class SteadyClock:
    """Seconds since the epoch: the wall clock at the start, and monotonic time since.

    Small corrections of the wall clock are followed. A jump is not: a clock set back would make fresh
    records seem to come from the future, one set ahead would keep the dead alive. A jump is logged
    once; a process that is started anew takes the wall clock as it finds it.

    Parameters
    ----------
    wall, stopwatch
        Seconds since the epoch, and monotonic seconds.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = elapsed_s,
    ) -> None:
        self._wall = wall
        self._stopwatch = stopwatch
        self._lock = threading.Lock()
        self._now_s = wall()
        self._read_s = stopwatch()
        self._jumped = False

    def __call__(self) -> float:
        with self._lock:
            read_s = self._stopwatch()
            self._now_s += max(0.0, read_s - self._read_s)
            self._read_s = read_s
            ahead_s = self._wall() - self._now_s
            if abs(ahead_s) <= _DRIFT_S:
                self._now_s += max(0.0, ahead_s)
                self._jumped = False
            elif not self._jumped:
                self._jumped = True
                log.warning("the wall clock jumped by %.0f s; it is not followed", ahead_s)
            return self._now_s
