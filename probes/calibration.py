"""From a score to a probability that means what it says, at a prevalence that is stated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

_EDGE = 1e-6


class Platt(NamedTuple):
    """p = 1 / (1 + exp(-(slope * score + intercept))) (Platt 1999)."""

    slope: float
    intercept: float

    def __call__(self, score: float) -> float:
        return sigmoid(self.slope * score + self.intercept)


class Monotone(NamedTuple):
    """A rising curve: 9/10 isotonic regression over bins, 1/10 Platt, so that no order is lost.

    Where a score does not tell the classes apart, a straight Platt line is overconfident on one
    side and timid on the other; the isotonic part is flat there.

    Parameters
    ----------
    scores, values
        Knots of the isotonic part: mean score and smoothed share of lies of each bin.
    platt
        The sigmoid part.
    """

    scores: tuple[float, ...]
    values: tuple[float, ...]
    platt: Platt

    def __call__(self, score: float) -> float:
        step = float(np.interp(score, self.scores, self.values))
        return 0.9 * step + 0.1 * self.platt(score)


class CalibrationError(NamedTuple):
    """Debiased squared calibration error as a root, with a bootstrap interval and its count."""

    estimate: float
    lower: float
    upper: float
    n: int


def sigmoid(x: float) -> float:
    """Logistic function, safe for any float."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


def logit(p: float) -> float:
    """Log-odds, with p kept 1e-6 away from 0 and 1."""
    p = min(1 - _EDGE, max(_EDGE, p))
    return math.log(p / (1 - p))


def shift_prevalence(p: float, calibrated_at: float, prevalence: float) -> float:
    """The posterior at another prevalence: the likelihood ratio stays, the prior odds change."""
    return sigmoid(logit(p) - logit(calibrated_at) + logit(prevalence))


def threshold(cost_false_alarm: float, cost_miss: float) -> float:
    """The probability from which calling it costs less than not: c_fa / (c_fa + c_miss).

    >>> threshold(1.0, 1.0)
    0.5
    """
    return cost_false_alarm / (cost_false_alarm + cost_miss)


def fit_platt(scores: ArrayLike, labels: ArrayLike) -> Platt:
    """Maximum-likelihood slope and intercept with Platt's softened targets, by Newton's method.

    `scores` and 0/1 `labels` have shape (n,). The softened targets keep the fit finite when the
    scores separate the classes.
    """
    x = np.asarray(scores, float)
    y = np.asarray(labels, float)
    positive, negative = y.sum(), (1 - y).sum()
    target = np.where(y > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    design = np.column_stack([x, np.ones_like(x)])
    weight = np.array([0.0, math.log((positive + 1) / (negative + 1))])
    for _ in range(100):
        p = _sigmoid(design @ weight)
        gradient = design.T @ (p - target)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 4.0 / max(4.0, float(np.abs(step).max())))
        weight -= step
        if np.abs(step).max() < 1e-10:
            break
    return Platt(float(weight[0]), float(weight[1]))


def fit_monotone(scores: ArrayLike, labels: ArrayLike, bins: int = 12) -> Monotone:
    """Isotonic regression (pool adjacent violators) over equal-count bins with Laplace smoothing.

    `scores` and 0/1 `labels` have shape (n,).
    """
    x, y = np.asarray(scores, float), np.asarray(labels, float)
    parts = _parts(x, min(bins, max(1, len(x) // 15)))
    shares = [(y[part].sum() + 0.5) / (len(part) + 1) for part in parts]
    rising = isotonic_regression(shares, weights=[len(part) for part in parts]).x
    middles = [float(x[part].mean()) for part in parts]
    return Monotone(tuple(middles), tuple(float(v) for v in rising), fit_platt(x, y))


def calibration_error(
    p: ArrayLike, labels: ArrayLike, *, rng: np.random.Generator, bins: int = 10, draws: int = 500
) -> CalibrationError:
    """Debiased expected calibration error over equal-count bins (Kumar, Liang and Ma 2019).

    The plug-in squared error of a bin is too large by the label variance divided by its count;
    that is taken off before the mean and the root, so a calibrated score gets about 0, not 1/sqrt(n).
    The interval is the 2.5 and 97.5 percentile of bootstrap draws. Raises ValueError when empty.
    """
    score, label = np.asarray(p, float), np.asarray(labels, float)
    if not len(score):
        raise ValueError("no scores")
    estimate = _debiased(score, label, bins)
    picks = rng.integers(0, len(score), (draws, len(score)))
    found = [_debiased(score[pick], label[pick], bins) for pick in picks]
    lower, upper = np.quantile(found, [0.025, 0.975])
    return CalibrationError(estimate, float(lower), float(upper), len(score))


def reliability(p: ArrayLike, labels: ArrayLike, bins: int = 10) -> list[tuple[float, float, int]]:
    """Mean score, share of positives and count of each equal-count bin: a reliability diagram."""
    score, label = np.asarray(p, float), np.asarray(labels, float)
    return [
        (float(score[part].mean()), float(label[part].mean()), len(part))
        for part in _parts(score, bins)
    ]


def _debiased(score: NDArray[Any], label: NDArray[Any], bins: int) -> float:
    total = 0.0
    for part in _parts(score, bins):
        n = len(part)
        rate = label[part].mean()
        spread = rate * (1 - rate) / (n - 1) if n > 1 else 0.0
        total += n * ((score[part].mean() - rate) ** 2 - spread)
    return math.sqrt(max(0.0, total / len(score)))


def _parts(score: NDArray[Any], bins: int) -> Sequence[NDArray[Any]]:
    order = np.argsort(score, kind="stable")
    return [part for part in np.array_split(order, min(bins, len(order))) if len(part)]


def _sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    out: NDArray[Any] = 0.5 * (1 + np.tanh(0.5 * x))
    return out
