"""Sampling rates change at recorded epochs alone, so that a replay decides as the first run did."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from evidence import BadInputError


class Rates(msgspec.Struct, frozen=True, order=True):
    """Rates in force from a time (seconds since the epoch) until the next entry's."""

    from_s: float
    pi_arrival: float
    pi_feedback: float


class Epochs:
    """The rates at any time; those of the first epoch hold for everything before it as well.

    Raises `BadInputError` without an epoch.
    """

    def __init__(self, rates: Iterable[Rates]) -> None:
        self._newest_first = tuple(sorted(rates, reverse=True))
        if not self._newest_first:
            raise BadInputError("no sampling epoch is recorded", "rate_epochs")

    @property
    def highest_arrival_rate(self) -> float:
        """The largest share of responses that any epoch measures on arrival."""
        return max(rates.pi_arrival for rates in self._newest_first)

    def at(self, time_s: float) -> Rates:
        """The rates for a response that was created then."""
        for rates in self._newest_first:
            if rates.from_s <= time_s:
                return rates
        return self._newest_first[-1]
