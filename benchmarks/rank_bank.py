"""Many detectors on ranks advanced together, for simulations: row i does what a `RankDetector` would do."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from evidence.e_detector import log_statistic, step
from evidence.e_process import Floats
from evidence.rank_bets import CELLS, rank_bets
from evidence.rank_detector import BIN_WIDTH, OUTERMOST

_BINS = 2 * OUTERMOST


class RankBank:
    """`streams` detectors, all of whose scores fall into one of `cells` cells, the same for all at a time."""

    def __init__(self, streams: int, average_run_length: float, cells: int = 1) -> None:
        self._bets = rank_bets()
        self._counts = np.zeros((cells, streams, _BINS))
        self._log_one_plus = np.zeros((streams, len(self._bets.log_weights)))
        self._rows = np.arange(streams)
        self.log_threshold = math.log(average_run_length)
        self.n = 0
        self.alarm_at: NDArray[np.int64] = np.full(streams, -1, dtype=np.int64)
        """Number of the bet at which a stream first alarmed, counted from 1; -1 while it has not."""

    @property
    def log_evidence(self) -> Floats:
        """Shape (streams,)."""
        return log_statistic(self._log_one_plus, self._bets.log_weights)

    def learn(self, scores: Floats, cell: int = 0) -> None:
        """Add one score of each stream, shape (streams,), to its past without betting on it."""
        self._counts[cell, self._rows, bins_of(scores)] += 1

    def update(self, scores: Floats, ties: Floats, cell: int = 0) -> None:
        """Bet on one score of each stream, shape (streams,), then add it to its past."""
        at, counts = bins_of(scores), self._counts[cell]
        upto = np.cumsum(counts, axis=1)
        total, equal = upto[:, -1], counts[self._rows, at] + 1.0
        rank = (total - upto[self._rows, at] + ties * equal) / (total + 1.0)
        factors = self._bets.log_factors[np.minimum((rank * CELLS).astype(int), CELLS - 1)]
        self._log_one_plus = step(self._log_one_plus, factors)
        self.n += 1
        new = (self.log_evidence >= self.log_threshold) & (self.alarm_at < 0)
        self.alarm_at[new] = self.n
        counts[self._rows, at] += 1


def bins_of(scores: Floats) -> NDArray[np.int64]:
    """`bin_of` of each score, counted from 0."""
    with np.errstate(divide="ignore"):
        odds = np.log(scores) - np.log1p(-scores)
    return (np.clip(np.floor(odds / BIN_WIDTH), -OUTERMOST, OUTERMOST - 1) + OUTERMOST).astype(
        np.int64
    )
