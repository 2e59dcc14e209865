"""Betting e-processes for bounded scores: evidence that a conditional mean exceeds a bound.

The null hypothesis is E[score_t | past] <= bound for every t, for scores in [0, 1]. A bet b turns a
score into the factor 1 + b (score - bound), whose conditional mean is at most one while it stays
non-negative, so products of factors are non-negative supermartingales under the null (Waudby-Smith
and Ramdas, arXiv 2010.09686). Nothing is assumed about independence or variance.

Two-phase data: of all items only those that a second coin with known probability `propensity` chose
carry a score. The estimate z = f + (score - f) / propensity, or z = f where the coin said no, has
the right conditional mean for any f fixed before the coin. It leaves [0, 1], which is harmless
upwards; downwards it reaches no further than the declared minimum propensity lets it, and
`largest_bet` keeps every factor positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evidence.errors import BadInputError

Floats = NDArray[np.float64]

_RATIO = 1.6  # neighbours this far apart lose at most 6 % of the growth rate between them
_MOST_POINTS = 24
_SAFETY = 0.9  # of the largest bet: no single score may annihilate the capital


def largest_bet(bound: float, min_propensity: float = 1.0, cheap_limit: float = 1.0) -> float:
    """The bet at which the worst admissible score makes the factor zero.

    The smallest z - bound is -bound / p without a cheap score (f = bound), and
    -bound - c (1/p - 1) with one, where p is the minimum propensity and c the limit of f.
    """
    odds = 1.0 / min_propensity - 1.0
    return 1.0 / (bound + odds * max(bound, cheap_limit if min_propensity < 1.0 else 0.0))


@dataclass(frozen=True)
class BetGrid:
    """Bets with mixture weights. `bets` and `log_weights` have shape (grid,); weights sum to one."""

    bound: float
    min_propensity: float
    cheap_limit: float
    bets: Floats
    log_weights: Floats

    def excess(self, score: float | None, propensity: float, cheap: float | None) -> float | None:
        """z - bound for one item; None when nothing was observed, which moves nothing.

        Raises `BadInputError` for a score or cheap score outside [0, 1] or a propensity outside
        [min_propensity, 1].
        """
        _check(score, propensity, cheap, self.min_propensity)
        if cheap is None:
            return None if score is None else (score - self.bound) / propensity
        base = min(cheap, self.cheap_limit)
        return base - self.bound + (0.0 if score is None else (score - base) / propensity)


def bet_grid(
    bound: float, *, horizon: float, min_propensity: float = 1.0, cheap_limit: float = 1.0
) -> BetGrid:
    """A geometric grid from the smallest bet worth making within `horizon` samples to the largest.

    A bet b on scores of variance v grows evidence by at most b^2 v / 2 a sample, so bets below
    sqrt(10 log(horizon) / (horizon v)) would need more than a fifth of the horizon to alarm.

    Raises `BadInputError` for values outside 0 < bound < 1, horizon > 1, 0 < min_propensity <= 1,
    0 <= cheap_limit <= 1.
    """
    if not 0.0 < bound < 1.0:
        raise BadInputError(f"reference + tolerance must lie in (0, 1), not {bound!r}")
    if not (horizon > 1.0 and math.isfinite(horizon)):
        raise BadInputError(f"the average run length must be finite and above 1, not {horizon!r}")
    if not 0.0 < min_propensity <= 1.0:
        raise BadInputError(f"the minimum propensity must lie in (0, 1], not {min_propensity!r}")
    if not 0.0 <= cheap_limit <= 1.0:
        raise BadInputError(f"the cheap score's limit must lie in [0, 1], not {cheap_limit!r}")
    top = _SAFETY * largest_bet(bound, min_propensity, cheap_limit)
    variance = bound * (1.0 - bound) / min_propensity
    low = min(math.sqrt(10.0 * math.log(horizon) / (horizon * variance)), top / 2.0)
    points = min(_MOST_POINTS, 2 + math.floor(math.log(top / low) / math.log(_RATIO)))
    bets = np.geomspace(low, top, points)
    weights = np.full(points, -math.log(points))
    return BetGrid(bound, min_propensity, cheap_limit, bets, weights)


def log_mixture(log_values: Floats, log_weights: Floats) -> Floats:
    """log of sum_k w_k exp(v_k) over the last axis; -inf values are allowed."""
    return np.asarray(np.logaddexp.reduce(log_values + log_weights, axis=-1))


def restored(values: tuple[float, ...], grid: BetGrid) -> Floats:
    """Stored grid values as an array; refuses a state that belongs to another grid."""
    if len(values) != len(grid.bets):
        raise BadInputError(f"a stored state has {len(values)} bets where {len(grid.bets)} belong")
    return np.array(values, dtype=np.float64)


def _check(score: Any, propensity: float, cheap: Any, min_propensity: float) -> None:
    for name, value in (("score", score), ("cheap score", cheap)):
        if value is not None and not 0.0 <= value <= 1.0:
            raise BadInputError(f"a {name} must lie in [0, 1], not {value!r}")
    # A propensity written as a decimal may differ from the declared minimum by rounding.
    if not min_propensity * (1.0 - 1e-9) <= propensity <= 1.0:
        raise BadInputError(
            f"a propensity must lie in [{min_propensity:g}, 1] (the declared minimum), not {propensity!r}"
        )
