"""The smallest fall of honesty that a sensor lets the detectors find, at some traffic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize_scalar

PERIODS_DAYS = (1, 7, 30)
"""A day, a week, a month."""


class Fall(NamedTuple):
    """The smallest fall of honesty that is found within `days` on average; None where none is."""

    days: int
    responses: float
    fall: float | None


def smallest_falls(
    honest: ArrayLike,
    lies: ArrayLike,
    *,
    responses_per_day: float,
    average_run_length: float,
    tolerance: float,
) -> tuple[Fall, ...]:
    """For a day, a week and a month.

    Parameters
    ----------
    honest, lies
        p_lie of labelled answers of each kind, left out of the fit, shape (n,) each.
    responses_per_day
        Measured responses.
    average_run_length
        Responses to a false alarm: the e-detector's limit is its logarithm.
    tolerance
        Rise of the mean score that is no alarm.

    The Shiryaev–Roberts sum of bets that grow by g nats a response reaches the limit ARL after about
    log(1 + ARL g) / g responses (the sum of exp(g k) over the starts k). g is the largest mean of
    log(1 + λ(x - r)) over bets λ in [0, 1/r] (Shin, Ramdas and Rinaldo, arXiv 2203.03532), where r is the
    mean score of honest answers plus the tolerance and x a score of the mixture after the fall. The
    reference counts as known; a learned one needs a little more.
    """
    low, high = np.asarray(honest, float), np.asarray(lies, float)
    reference = float(low.mean()) + tolerance
    out = []
    for days in PERIODS_DAYS:
        n = responses_per_day * days
        needed = _needed(n, average_run_length)
        out.append(Fall(days, n, _fall(low, high, reference, needed)))
    return tuple(out)


def growth(honest: ArrayLike, lies: ArrayLike, fall: float, reference: float) -> float:
    """Growth of the best bet a response, in nats, when a share `fall` of the answers are lies."""
    scores = np.concatenate([np.asarray(honest, float), np.asarray(lies, float)])
    weights = np.concatenate(
        [
            np.full(np.size(honest), (1 - fall) / np.size(honest)),
            np.full(np.size(lies), fall / np.size(lies)),
        ]
    )
    if float(weights @ scores) <= reference:
        return 0.0
    limit = (1 - 1e-6) / reference

    def lost(bet: float) -> float:
        return -float(weights @ np.log1p(bet * (scores - reference)))

    found = minimize_scalar(lost, bounds=(0.0, limit), method="bounded")
    return max(0.0, -float(found.fun))


def _needed(n: float, average_run_length: float) -> float:
    """The growth with which the limit is reached after `n` responses."""

    def late(growing: float) -> float:
        return math.log1p(average_run_length * growing) / growing - n

    least, most = 1e-9, 1e3
    if n <= 0 or late(most) > 0:
        return math.inf
    return least if late(least) <= 0 else float(brentq(late, least, most))


def _fall(
    honest: NDArray[np.float64], lies: NDArray[np.float64], reference: float, needed: float
) -> float | None:
    if growth(honest, lies, 1.0, reference) < needed:
        return None
    return float(brentq(lambda d: growth(honest, lies, d, reference) - needed, 0.0, 1.0, xtol=1e-4))


def told(falls: Sequence[Fall]) -> str:
    """One line for a person.

    >>> told([Fall(1, 100, None), Fall(7, 700, 0.125)])
    'in a day no fall at all; in 7 days a fall of 12.5 points'
    """
    parts = []
    for one in falls:
        period = "a day" if one.days == 1 else f"{one.days} days"
        seen = "no fall at all" if one.fall is None else f"a fall of {100 * one.fall:.1f} points"
        parts.append(f"in {period} {seen}")
    return "; ".join(parts)
