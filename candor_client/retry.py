"""When a request is tried again, and after how long."""

from __future__ import annotations

import dataclasses

import httpx

_BUSY = frozenset({429, 503})
_BROKEN = frozenset({408, 502, 504})


@dataclasses.dataclass(frozen=True)
class Retry:
    """How often and how long. Pauses double, each shortened by chance by up to a half.

    Parameters
    ----------
    tries
        Tries in all; 1 tries once.
    first_pause_s, longest_pause_s
        The pause after the first try, and the limit of what follows. A server's `Retry-After` counts up
        to that limit too.
    """

    tries: int = 5
    first_pause_s: float = 0.2
    longest_pause_s: float = 10.0

    def pause_s(self, tried: int, chance: float, retry_after: str | None = None) -> float:
        """The pause after so many tries; `chance` is a random number in [0, 1)."""
        pause = min(self.longest_pause_s, self.first_pause_s * 2.0 ** min(tried - 1, 30))
        pause *= 1.0 - chance / 2.0
        if retry_after is not None and retry_after.isascii() and retry_after.isdigit():
            pause = max(pause, min(self.longest_pause_s, float(retry_after)))
        return pause


def may_repeat(failure: httpx.HTTPError | int, *, is_idempotent: bool) -> bool:
    """Whether to try again after an error of the transport or an HTTP status.

    A request that would do something twice is repeated only where the first try cannot have done it: no
    connection came about, or the service said that it was too busy.
    """
    if isinstance(failure, int):
        return failure in _BUSY or (is_idempotent and failure in _BROKEN)
    if isinstance(failure, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):
        return True
    return is_idempotent and isinstance(failure, httpx.TransportError)
