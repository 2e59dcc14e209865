"""Intervals of a rate, betting bounds for the mean of bounded scores, and a confidence sequence.

`wilson` is approximate and never degenerate; `clopper_pearson` covers at any count; `lower_bound`,
`upper_bound` and `mean_interval` hold for any sample size and any scores in [0, 1] with a common conditional
mean; `confidence_sequence` holds at all sample sizes at once, so it may be watched live.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from scipy.special import betainccinv, betaincinv, ndtri

from evidence.e_process import Floats
from evidence.errors import BadInputError


class Interval(msgspec.Struct, frozen=True):
    """A closed interval; `lower` <= `upper`."""

    lower: float
    upper: float


def wilson(successes: float, n: float, error: float = 0.05) -> Interval:
    """Wilson's score interval of a rate (Wilson 1927); [0, 1] when `n` is zero.

    `successes` and `n` may be fractional, as effective counts of weighted samples are.
    Raises `BadInputError` unless 0 <= successes <= n.
    """
    _check_error(error)
    if not 0.0 <= successes <= n * (1.0 + 1e-12):
        raise BadInputError(f"a rate needs 0 <= successes <= n, not {successes!r} of {n!r}")
    if n == 0:
        return Interval(0.0, 1.0)
    z2 = float(ndtri(error / 2.0)) ** 2
    rate = min(1.0, successes / n)
    centre = (rate + z2 / (2.0 * n)) / (1.0 + z2 / n)
    half = math.sqrt(z2 * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n))) / (1.0 + z2 / n)
    return Interval(min(rate, max(0.0, centre - half)), max(rate, min(1.0, centre + half)))


def change_of_rate(
    before: float, before_in: Interval, after: float, after_in: Interval
) -> Interval:
    """The interval of `after - before` from the intervals of both, which were measured independently.

    Newcombe 1998 (method 10): squares of the distances to the limits that matter are added.

    >>> found = change_of_rate(0.2, Interval(0.1, 0.35), 0.5, Interval(0.35, 0.65))
    >>> round(found.lower, 2), round(found.upper, 2)
    (0.09, 0.48)
    """
    change = after - before
    return Interval(
        change - math.hypot(after - after_in.lower, before_in.upper - before),
        change + math.hypot(after_in.upper - after, before - before_in.lower),
    )


def clopper_pearson(successes: float, n: float, error: float = 0.05) -> Interval:
    """Exact interval of a rate (Clopper and Pearson 1934), which covers at any count; [0, 1] when `n` is zero.

    `successes` and `n` may be fractional: the beta quantiles that define it are smooth in both.
    Raises `BadInputError` unless 0 <= successes <= n.
    """
    _check_error(error)
    if not 0.0 <= successes <= n * (1.0 + 1e-12):
        raise BadInputError(f"a rate needs 0 <= successes <= n, not {successes!r} of {n!r}")
    rest = max(0.0, n - successes)
    lower = 0.0 if successes == 0 else float(betaincinv(successes, rest + 1.0, error / 2.0))
    upper = 1.0 if rest == 0 else float(betainccinv(successes + 1.0, rest, error / 2.0))
    return Interval(lower, upper)


def upper_bound(scores: Sequence[float] | Floats, error: float = 0.05) -> float:
    """Upper confidence bound of the mean of scores in [0, 1]; 1.0 for no scores.

    The largest mean against which no capital process of predictable bets has reached 1 / error
    (Waudby-Smith and Ramdas, arXiv 2010.09686, section 4.2), found by bisection.
    """
    _check_error(error)
    x = _bounded(scores)
    if not len(x):
        return 1.0
    bets = _predictable_bets(x, error)
    low, high = float(np.mean(x)), 1.0
    for _ in range(50):
        middle = (low + high) / 2.0
        capped = np.minimum(bets, 0.9 / max(1.0 - middle, 1e-12))
        wealth = np.cumsum(np.log1p(capped * (middle - x)))
        if float(np.max(wealth)) >= -math.log(error):
            high = middle
        else:
            low = middle
    return high


def lower_bound(scores: Sequence[float] | Floats, error: float = 0.05) -> float:
    """Lower confidence bound of the mean of scores in [0, 1]; 0.0 for no scores."""
    return 1.0 - upper_bound(1.0 - _bounded(scores), error)


def mean_interval(scores: Sequence[float] | Floats, error: float = 0.05) -> Interval:
    """Two-sided betting interval of the mean of scores in [0, 1]; [0, 1] for no scores."""
    return Interval(lower_bound(scores, error / 2.0), upper_bound(scores, error / 2.0))


def confidence_sequence(
    scores: Sequence[float] | Floats, error: float = 0.05
) -> tuple[Floats, Floats]:
    """Empirical-Bernstein confidence sequence: (lower, upper), each of shape (n,).

    With probability at least 1 - error the conditional mean lies between them at every sample at
    once (Waudby-Smith and Ramdas, arXiv 2010.09686, theorem 2). Bounds are running intersections.
    """
    _check_error(error)
    x = _bounded(scores)
    t = np.arange(1, len(x) + 1)
    before_mean, before_var = _predictable_moments(x)
    log_error = math.log(2.0 / error)
    bets = np.minimum(0.5, np.sqrt(2.0 * log_error / (before_var * t * np.log(t + 1.0))))
    psi = (-np.log1p(-bets) - bets) / 4.0
    total = np.cumsum(bets)
    centre = np.cumsum(bets * x) / total
    margin = (log_error + np.cumsum(4.0 * (x - before_mean) ** 2 * psi)) / total
    return (
        np.maximum.accumulate(np.maximum(0.0, centre - margin)),
        np.minimum.accumulate(np.minimum(1.0, centre + margin)),
    )


def _predictable_moments(x: Floats) -> tuple[Floats, Floats]:
    """Mean and variance before each score, started at 1/2 and 1/4."""
    t = np.arange(1, len(x) + 1)
    means = (0.5 + np.cumsum(x)) / (t + 1.0)
    variances = (0.25 + np.cumsum((x - means) ** 2)) / (t + 1.0)
    return np.r_[0.5, means[:-1]], np.r_[0.25, variances[:-1]]


def _predictable_bets(x: Floats, error: float) -> Floats:
    variances = _predictable_moments(x)[1]
    return np.asarray(np.sqrt(2.0 * math.log(1.0 / error) / (len(x) * variances)))


def _bounded(scores: Sequence[float] | Floats) -> Floats:
    x = np.asarray(scores, dtype=np.float64)
    if x.ndim != 1:
        raise BadInputError("scores are a vector")
    if len(x) and not (np.all(x >= 0.0) and np.all(x <= 1.0)):
        raise BadInputError("scores lie in [0, 1]")
    return x


def _check_error(error: float) -> None:
    if not 0.0 < error < 1.0:
        raise BadInputError(f"an error probability must lie in (0, 1), not {error!r}")
