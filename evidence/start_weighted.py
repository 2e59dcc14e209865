"""A rise at an unknown time as one e-value, so that many streams can be reported together.

Shiryaev-Roberts statistics are not e-values at stopping times. Weighting the start times by
g_j = 1 / (j (j + 1)), which sum to one, gives E_t = sum_{j <= t} g_j L_j ... L_t + sum_{j > t} g_j, a
non-negative supermartingale that starts at one: an e-value at any stopping time, at the price of
2 log(j) nats for a rise that starts at j.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from evidence.e_process import Floats, bet_grid, log_mixture, restored
from evidence.errors import BadInputError


class StartWeightedState(msgspec.Struct, frozen=True, kw_only=True, tag="start_weighted"):
    bound: float
    error: float
    min_propensity: float
    cheap_limit: float
    horizon: float
    n: int
    log_started: tuple[float, ...]
    alarm: bool
    schema_version: int = 1


class StartWeighted:
    """Under the null (conditional mean <= bound), P(log_evidence ever >= log(1/error)) <= error."""

    def __init__(
        self,
        bound: float,
        error: float = 0.05,
        *,
        min_propensity: float = 1.0,
        cheap_limit: float = 1.0,
        horizon: float = 10_000.0,
    ) -> None:
        if not 0.0 < error < 1.0:
            raise BadInputError(f"the error probability must lie in (0, 1), not {error!r}")
        self._grid = bet_grid(
            bound, horizon=horizon, min_propensity=min_propensity, cheap_limit=cheap_limit
        )
        self.error, self.horizon = error, horizon
        self.log_threshold = -math.log(error)
        self.reset()

    def reset(self) -> None:
        """Forget all evidence and count start times from here."""
        self.n = 0
        self.alarm = False
        self._log_started: Floats = np.full_like(self._grid.bets, -np.inf)

    @property
    def log_evidence(self) -> float:
        """Natural logarithm of the e-value."""
        started = float(log_mixture(self._log_started, self._grid.log_weights))
        return float(np.logaddexp(started, -math.log(self.n + 1.0)))

    def update(
        self, score: float | None, propensity: float = 1.0, cheap: float | None = None
    ) -> bool:
        """Take one item in and return whether the alarm has been raised so far. O(grid)."""
        excess = self._grid.excess(score, propensity, cheap)
        if excess is not None:
            self.n += 1
            start = -math.log(self.n * (self.n + 1.0))
            factors = np.log1p(self._grid.bets * excess)
            self._log_started = np.logaddexp(self._log_started, start) + factors
            self.alarm = self.alarm or self.log_evidence >= self.log_threshold
        return self.alarm

    def state(self) -> StartWeightedState:
        return StartWeightedState(
            bound=self._grid.bound,
            error=self.error,
            min_propensity=self._grid.min_propensity,
            cheap_limit=self._grid.cheap_limit,
            horizon=self.horizon,
            n=self.n,
            log_started=tuple(self._log_started.tolist()) if self.n else (),
            alarm=self.alarm,
        )

    @classmethod
    def restore(cls, state: StartWeightedState) -> StartWeighted:
        made = cls(
            state.bound,
            state.error,
            min_propensity=state.min_propensity,
            cheap_limit=state.cheap_limit,
            horizon=state.horizon,
        )
        made.n, made.alarm = state.n, state.alarm
        if state.n:
            made._log_started = restored(state.log_started, made._grid)
        return made
