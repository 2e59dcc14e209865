"""A circuit breaker: a server that keeps failing is left alone for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable


class CircuitBreaker:
    """Opens after consecutive failures, lets one trial through after a pause, closes on success.

    Parameters
    ----------
    max_failures
        Consecutive failures that open the circuit.
    pause_s
        Seconds until a trial is allowed.
    clock
        Monotonic seconds.
    """

    def __init__(self, max_failures: int, pause_s: float, clock: Callable[[], float]) -> None:
        self._max_failures, self._pause_s, self._clock = max_failures, pause_s, clock
        self._failures = 0
        self._opened_at: float | None = None
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether a call may be made now. While open, one caller in each pause is let through."""
        with self._lock:
            if self._opened_at is None:
                return True
            now = self._clock()
            if now - self._opened_at < self._pause_s:
                return False
            self._opened_at = now
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._failures, self._opened_at = 0, None

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._failures >= self._max_failures:
                self._opened_at = self._clock()
