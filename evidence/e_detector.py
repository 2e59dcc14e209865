"""The mixture Shiryaev-Roberts e-detector: an alarm with a proven average run length.

For each bet the statistic M_t = (M_{t-1} + 1) L_t sums the products of factors over all start times.
Under the null M_t - t is a supermartingale, so stopping when the mixture reaches the threshold A
gives E[run length] >= A and P(alarm by t) <= t / A (Shin, Ramdas, Rinaldo, arXiv 2203.03532,
theorem 2.4). The state kept per bet is log(1 + M), which is finite and never negative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from evidence.e_process import BetGrid, Floats, bet_grid, log_mixture, restored
from evidence.errors import BadInputError


class EDetectorState(msgspec.Struct, frozen=True, kw_only=True, tag="e_detector"):
    """Everything an `EDetector` is; floats survive JSON exactly."""

    reference: float
    tolerance: float
    average_run_length: float
    min_propensity: float
    cheap_limit: float
    n: int
    log_one_plus: tuple[float, ...]
    alarm: bool
    schema_version: int = 1


class EDetector:
    """Raises an alarm when the conditional mean of scores exceeds `reference + tolerance`.

    Parameters
    ----------
    reference
        Mean score of an honest assistant, in [0, 1); scores lie in [0, 1], higher is worse.
    average_run_length
        Expected observed scores to a false alarm are at least this many.
    tolerance
        Rise of the mean that is no alarm.
    min_propensity
        Declared minimum of the propensities in two-phase data; caps the bets.
    cheap_limit
        Cheap scores are cut to this; a lower limit permits larger bets. Irrelevant while
        `min_propensity` is 1.

    Raises
    ------
    BadInputError
        A parameter or a later score is out of range.
    """

    def __init__(
        self,
        reference: float,
        average_run_length: float = 10_000,
        tolerance: float = 0.0,
        *,
        min_propensity: float = 1.0,
        cheap_limit: float = 1.0,
    ) -> None:
        self.reference, self.tolerance = float(reference), float(tolerance)
        self.average_run_length = float(average_run_length)
        self._grid: BetGrid = bet_grid(
            self.reference + self.tolerance,
            horizon=self.average_run_length,
            min_propensity=min_propensity,
            cheap_limit=cheap_limit,
        )
        self.log_threshold = math.log(self.average_run_length)
        self.reset()

    def reset(self) -> None:
        """Forget all evidence, as after an alarm was closed."""
        self.n = 0
        self.alarm = False
        self._log_one_plus: Floats = np.zeros_like(self._grid.bets)

    @property
    def bound(self) -> float:
        """Largest conditional mean that is no alarm."""
        return self._grid.bound

    @property
    def log_evidence(self) -> float:
        """Natural logarithm of the mixture statistic; -inf before the first score."""
        return float(_log_statistic(self._log_one_plus, self._grid.log_weights))

    def update(
        self, score: float | None, propensity: float = 1.0, cheap: float | None = None
    ) -> bool:
        """Take one item in and return whether the alarm has been raised since the last reset.

        `score` None means that the second phase did not choose this item; with `cheap` None too
        nothing was observed and nothing moves. O(grid).
        """
        excess = self._grid.excess(score, propensity, cheap)
        if excess is not None:
            self.n += 1
            self._log_one_plus = _step(self._log_one_plus, np.log1p(self._grid.bets * excess))
            self.alarm = self.alarm or self.log_evidence >= self.log_threshold
        return self.alarm

    def state(self) -> EDetectorState:
        return EDetectorState(
            reference=self.reference,
            tolerance=self.tolerance,
            average_run_length=self.average_run_length,
            min_propensity=self._grid.min_propensity,
            cheap_limit=self._grid.cheap_limit,
            n=self.n,
            log_one_plus=tuple(self._log_one_plus.tolist()),
            alarm=self.alarm,
        )

    @classmethod
    def restore(cls, state: EDetectorState) -> EDetector:
        """The detector as it was, to the last bit."""
        made = cls(
            state.reference,
            state.average_run_length,
            state.tolerance,
            min_propensity=state.min_propensity,
            cheap_limit=state.cheap_limit,
        )
        made.n, made.alarm = state.n, state.alarm
        made._log_one_plus = restored(state.log_one_plus, made._grid)
        return made


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
        return _log_statistic(self._log_one_plus, self._log_weights)

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
        self._log_one_plus[rows] = _step(self._log_one_plus[rows], factors)
        self.n[rows] += 1
        evidence = _log_statistic(self._log_one_plus[rows], self._log_weights[rows])
        new = (evidence >= self.log_threshold) & (self.alarm_at[rows] < 0)
        self.alarm_at[rows] = np.where(new, self.n[rows], self.alarm_at[rows])

    def _check(self, scores: Floats, chance: Floats, cheap: Floats) -> None:
        for values in (scores, cheap):
            if np.any((values < 0.0) | (values > 1.0)):
                raise BadInputError("a score must lie in [0, 1]")
        if not np.all((chance >= self._min_propensity * (1.0 - 1e-9)) & (chance <= 1.0)):
            raise BadInputError(f"a propensity must lie in [{self._min_propensity:g}, 1]")


def _step(log_one_plus: Floats, log_factors: Floats) -> Floats:
    """log(1 + M_t) from log(1 + M_{t-1}), where M_t = (1 + M_{t-1}) L_t."""
    grown = log_one_plus + log_factors
    # log(1 + exp(g)), stable on both sides and much faster than logaddexp.
    return np.maximum(grown, 0.0) + np.log1p(np.exp(-np.abs(grown)))


def _log_statistic(log_one_plus: Floats, log_weights: Floats) -> Floats:
    """log of sum_k w_k M_k, with M = exp(a) (1 - exp(-a)) for a = log(1 + M)."""
    with np.errstate(divide="ignore"):  # M = 0 has the logarithm -inf
        log_m = log_one_plus + np.log(-np.expm1(-log_one_plus))
    return log_mixture(log_m, log_weights)
