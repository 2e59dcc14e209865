"""How often a key may ask: a sliding window in the memory of this process."""

from __future__ import annotations

import math
import time
from http import HTTPStatus

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from monitor.http.problems import ProblemError


class RateLimit:
    """Counts requests of each key, and of each address that shows no valid one.

    Parameters
    ----------
    per_minute
        Requests that one of them may make in any minute.
    """

    def __init__(self, per_minute: int) -> None:
        self._item = RateLimitItemPerMinute(per_minute)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def take(self, who: str) -> None:
        """Count one request. Raises ProblemError (429) with Retry-After, in seconds, when it is one too many."""
        if self._limiter.hit(self._item, who):
            return
        reset_s = self._limiter.get_window_stats(self._item, who).reset_time - time.time()
        wait_s = max(1, math.ceil(reset_s))
        raise ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"more than {self._item.amount} requests a minute; ask again in {wait_s} s",
            headers={"Retry-After": str(wait_s)},
        )
