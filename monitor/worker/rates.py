"""Which sampling rates hold: recorded before the first response is decided on, the same for all workers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from sqlalchemy import Engine

from monitor.sample.epochs import Epochs, Rates
from monitor.sample.options import SamplingOptions
from monitor.store import epochs

log = logging.getLogger(__name__)


class RecordedRates:
    """The epochs of the store, begun with the configured rates when they are first asked for."""

    def __init__(
        self, engine: Engine, options: SamplingOptions, clock: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._options = options
        self._clock = clock
        self._epochs: Epochs | None = None

    def current(self) -> Epochs:
        """The epochs; the configured rates are recorded first, if they are new."""
        if self._epochs is None:
            self._epochs = self._begin()
        return self._epochs

    @property
    def highest_arrival(self) -> float:
        """The highest arrival rate of any epoch; 1 before they were asked for."""
        return 1.0 if self._epochs is None else self._epochs.highest_arrival_rate

    def follow(self, stored: Sequence[epochs.StoredRates]) -> None:
        """Another worker may have begun an epoch: all follow the same."""
        if self._epochs is not None:
            self._epochs = _of(stored)

    def _begin(self) -> Epochs:
        with self._engine.begin() as connection:
            begun = epochs.begin_epoch(
                connection,
                pi_arrival=self._options.arrival_rate,
                pi_feedback=self._options.feedback_rate,
                now_s=self._clock(),
            )
            stored = epochs.read_epochs(connection)
        if begun:
            newest = stored[-1]
            log.info("sampling: %g on arrival, %g rated", newest.pi_arrival, newest.pi_feedback)
        return _of(stored)


def _of(stored: Sequence[epochs.StoredRates]) -> Epochs:
    return Epochs(Rates(e.from_s, e.pi_arrival, e.pi_feedback) for e in stored)
