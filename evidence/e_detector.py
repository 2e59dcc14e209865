"""The mixture Shiryaev-Roberts e-detector: an alarm with a proven average run length.

For each bet the statistic M_t = (M_{t-1} + 1) L_t sums the products of factors over all start times.
Under the null M_t - t is a supermartingale, so stopping when the mixture reaches the threshold A
gives E[run length] >= A and P(alarm by t) <= t / A (Shin, Ramdas, Rinaldo, arXiv 2203.03532,
theorem 2.4). The state kept per bet is log(1 + M), which is finite and never negative.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from evidence.e_process import BetGrid, Floats, bet_grid, log_mixture, restored


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
    def bets(self) -> Floats:
        """The sizes of the bets, shape (bets,)."""
        return self._grid.bets

    @property
    def log_evidence(self) -> float:
        """Natural logarithm of the mixture statistic; -inf before the first score."""
        return float(log_statistic(self._log_one_plus, self._grid.log_weights))

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
            self._log_one_plus = step(self._log_one_plus, np.log1p(self._grid.bets * excess))
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


def step(log_one_plus: Floats, log_factors: Floats) -> Floats:
    """log(1 + M_t) from log(1 + M_{t-1}), where M_t = (1 + M_{t-1}) L_t."""
    grown = log_one_plus + log_factors
    # log(1 + exp(g)), stable on both sides and much faster than logaddexp.
    return np.maximum(grown, 0.0) + np.log1p(np.exp(-np.abs(grown)))


def log_statistic(log_one_plus: Floats, log_weights: Floats) -> Floats:
    """log of sum_k w_k M_k, with M = exp(a) (1 - exp(-a)) for a = log(1 + M)."""
    with np.errstate(divide="ignore"):  # M = 0 has the logarithm -inf
        log_m = log_one_plus + np.log(-np.expm1(-log_one_plus))
    return log_mixture(log_m, log_weights)
