"""A value that is made at most once in a while, however many ask for it."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from evidence import UnreachableError

log = logging.getLogger(__name__)

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
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._held: tuple[float, Value | UnreachableError] | None = None

    def __call__(self) -> Value:
        """The value. Raises UnreachableError when it could not be made."""
        with self._lock:
            now, held = self._clock(), self._held
            if held is None or now - held[0] >= self._max_age_s:
                try:
                    held = now, self._make()
                except UnreachableError as error:
                    held = now, error
                self._held = held
        if isinstance(held[1], UnreachableError):
            raise held[1]
        return held[1]

    def soon(self, most_s: float) -> Value:
        """The value, without waiting for the next one: while that is made in the background the one before is
        handed out, if it is no older than `most_s`. Raises UnreachableError as a call does."""
        held = self._held
        age_s = math.inf if held is None else self._clock() - held[0]
        if held is None or isinstance(held[1], UnreachableError) or age_s >= most_s:
            return self()
        if age_s >= self._max_age_s and self._making.acquire(blocking=False):
            threading.Thread(target=self._make_next, name="candor-state", daemon=True).start()
        return held[1]

    def _make_next(self) -> None:
        try:
            self()
        except UnreachableError:
            log.warning("the next state cannot be read; the one before is shown for a while")
        except Exception:
            log.exception("the next state cannot be made")
        finally:
            self._making.release()
