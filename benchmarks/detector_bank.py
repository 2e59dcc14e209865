"""Many e-detectors advanced together, for simulations: thousands of runs at the price of one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evidence.e_detector import log_statistic, step
from evidence.e_process import Floats, bet_grid
from evidence.errors import BadInputError


class EDetectorBank:
    """Many e-detectors advanced together: row i does what an `EDetector` of its own would do.

    Parameters
    ----------
    references
        Shape (streams,): the reference of each stream.
    """

    def __init__(
        self,
        references: Sequence[float] | Floats,
        average_run_length: float = 10_000,
        tolerance: float = 0.0,
        *,
        min_propensity: float = 1.0,
        cheap_limit: float = 1.0,
    ) -> None:
        values = np.asarray(references, dtype=np.float64)
        if values.ndim != 1 or not len(values):
            raise BadInputError("a bank needs a vector of at least one reference")
        levels, which = np.unique(values, return_inverse=True)
        grids = [
            bet_grid(
                float(level) + tolerance,
                horizon=average_run_length,
                min_propensity=min_propensity,
                cheap_limit=cheap_limit,
            )
            for level in levels
        ]
        width = max(len(grid.bets) for grid in grids)
        bets, weights = np.zeros((len(grids), width)), np.full((len(grids), width), -np.inf)
        for row, grid in enumerate(grids):
            bets[row, : len(grid.bets)] = grid.bets
            weights[row, : len(grid.bets)] = grid.log_weights
        self._bets, self._log_weights = bets[which], weights[which]
        self._bounds = values + tolerance
        self._min_propensity, self._cheap_limit = min_propensity, cheap_limit
        self.log_threshold = math.log(average_run_length)
        self.n: NDArray[np.int64] = np.zeros(len(values), dtype=np.int64)
        self.alarm_at: NDArray[np.int64] = np.full(len(values), -1, dtype=np.int64)
        """Number of the score at which a stream first alarmed, counted from 1; -1 while it has not."""
        self._log_one_plus = np.zeros_like(self._bets)

    @property
    def alarm(self) -> NDArray[np.bool_]:
        return self.alarm_at > 0

    @property
    def log_evidence(self) -> Floats:
        """Shape (streams,)."""
        return log_statistic(self._log_one_plus, self._log_weights)

    @property
    def bytes_per_stream(self) -> int:
        """Memory that one more stream takes."""
        arrays = (self._bets, self._log_weights, self._log_one_plus, self._bounds, self.n)
        return sum(a.nbytes for a in (*arrays, self.alarm_at)) // len(self.n)

    def update(
        self, scores: Floats, propensities: Floats | None = None, cheap: Floats | None = None
    ) -> NDArray[np.bool_]:
        """Advance by arrays of shape (streams,) or (streams, samples); NaN means none there.

        Returns which streams have alarmed so far, shape (streams,).
        """
        table = np.asarray(scores, dtype=np.float64).reshape(len(self.n), -1)
        ones, none = np.ones_like(table), np.full_like(table, np.nan)
        chance = ones if propensities is None else np.reshape(propensities, table.shape)
        guess = none if cheap is None else np.reshape(cheap, table.shape)
        self._check(table, chance, guess)
        excess = self._excess(table, chance, guess, self._bounds[:, None])
        everyone = np.arange(len(self.n))
        for column in excess.T:
            seen = ~np.isnan(column)
            rows = slice(None) if seen.all() else everyone[seen]
            self._step(rows, column[seen])
        return self.alarm

    def update_log(self, streams: NDArray[np.int64], scores: Floats) -> NDArray[np.bool_]:
        """Advance by an interleaved log: `scores[i]` belongs to stream `streams[i]`, in order."""
        values = np.asarray(scores, dtype=np.float64)
        self._check(values, np.ones_like(values), values)
        if np.isnan(values).any():
            raise BadInputError("a score must lie in [0, 1]")
        order = np.argsort(streams, kind="stable")
        sorted_streams = streams[order]
        first = np.flatnonzero(np.r_[True, sorted_streams[1:] != sorted_streams[:-1]])
        sizes = np.diff(np.r_[first, len(sorted_streams)])
        rank = np.arange(len(sorted_streams)) - np.repeat(first, sizes)
        by_rank = order[np.argsort(rank, kind="stable")]
        for chunk in np.split(by_rank, np.cumsum(np.bincount(rank))[:-1]):
            rows = streams[chunk]
            self._step(rows, values[chunk] - self._bounds[rows])
        return self.alarm

    def _excess(self, scores: Floats, chance: Floats, cheap: Floats, bounds: Floats) -> Floats:
        """z - bound of each item, NaN where nothing was observed (see `BetGrid.excess`)."""
        alone = (scores - bounds) / chance
        base = np.minimum(cheap, self._cheap_limit)
        residual = np.where(np.isnan(scores), 0.0, (scores - base) / chance)
        return np.where(np.isnan(cheap), alone, base - bounds + residual)

    def _step(self, rows: NDArray[np.int64] | slice, excess: Floats) -> None:
        factors = np.log1p(self._bets[rows] * excess[:, None])
        self._log_one_plus[rows] = step(self._log_one_plus[rows], factors)
        self.n[rows] += 1
        evidence = log_statistic(self._log_one_plus[rows], self._log_weights[rows])
        new = (evidence >= self.log_threshold) & (self.alarm_at[rows] < 0)
        self.alarm_at[rows] = np.where(new, self.n[rows], self.alarm_at[rows])

    def _check(self, scores: Floats, chance: Floats, cheap: Floats) -> None:
        for values in (scores, cheap):
            if np.any((values < 0.0) | (values > 1.0)):
                raise BadInputError("a score must lie in [0, 1]")
        if not np.all((chance >= self._min_propensity * (1.0 - 1e-9)) & (chance <= 1.0)):
            raise BadInputError(f"a propensity must lie in [{self._min_propensity:g}, 1]")
