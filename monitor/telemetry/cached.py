"""A value that is made at most once in a while, however many ask for it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from evidence import UnreachableError

Value = TypeVar("Value")


class Cached(Generic[Value]):
    """Makes a value at most once in `max_age_s`, so that scrapes and pages cannot load the store.

    Parameters
    ----------
    make
        Makes the value; may raise UnreachableError.
    clock
        Monotonic seconds.
    max_age_s
        A value, or a failure, younger than this is handed out again.
    """

    def __init__(
        self, make: Callable[[], Value], *, clock: Callable[[], float], max_age_s: float
    ) -> None:
        self._make = make
        self._clock = clock
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._made_at = -math.inf
        self._result: Value | UnreachableError | None = None

    def __call__(self) -> Value:
        """The value. Raises UnreachableError when it could not be made."""
        with self._lock:
            now = self._clock()
            if self._result is None or now - self._made_at >= self._max_age_s:
                try:
                    self._result = self._make()
                except UnreachableError as error:
                    self._result = error
                self._made_at = now
            result = self._result
        if isinstance(result, UnreachableError):
            raise result
        return result
