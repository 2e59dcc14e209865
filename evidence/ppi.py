"""Prediction-powered estimates: audit labels corrected by, and correcting, a cheap prediction.

Of the measured items a random audit labels some, each with a stored probability. The prediction's mean
is corrected by the labelled items' residuals; a coefficient between nothing and all of the prediction
is fitted so that a bad prediction costs no precision (PPI++, arXiv 2311.01453). Labels that were not
chosen at random have no place here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from evidence.confidence import confidence_sequence, wilson
from evidence.e_process import Floats
from evidence.errors import BadInputError

FOLDS = 5


class PoweredEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """A mean with its interval.

    Parameters
    ----------
    n, n_labelled
        Items with a prediction, and those of them with a label.
    coefficient
        Mean weight of the prediction over the folds.
    labels_saved
        Further random labels that the labels alone would have needed for the same precision.
    """

    value: float
    standard_error: float
    lower: float
    upper: float
    n: int
    n_labelled: int
    coefficient: float
    labels_saved: float


def powered_mean(
    predictions: Sequence[float] | Floats,
    labels: Sequence[float] | Floats,
    audit_probabilities: Sequence[float] | Floats,
    *,
    error: float = 0.05,
) -> PoweredEstimate:
    """Mean of the labels over all items.

    `predictions` shape (n,), `labels` shape (n,) with NaN where not audited, `audit_probabilities`
    shape (n,): the chance with which each item's label was drawn, labelled or not. The coefficient is
    cross-fitted: an item's fold takes no part in fitting its own. Residuals are weighted by
    1 / probability and normalised (Hajek); the variance is that of the influence values.

    Raises `BadInputError` for mismatched vectors, a label outside [0, 1], a probability outside (0, 1],
    or fewer than two labels in every fold's complement.
    """
    f, y, pi = _items(predictions, labels, audit_probabilities)
    seen = ~np.isnan(y)
    if int(seen.sum()) < 2 * FOLDS:
        raise BadInputError(f"at least {2 * FOLDS} labels are needed, not {int(seen.sum())}")
    w = np.where(seen, 1.0 / pi, 0.0)
    fold = _folds(seen)
    coefficients = np.array([_coefficient(f, y, w, seen & (fold != k)) for k in range(FOLDS)])
    g = coefficients[fold] * f
    residual = np.where(seen, y - g, 0.0)
    correction = float(np.sum(w * residual) / np.sum(w))
    influence = g - g.mean() + w * (residual - correction) / w.mean()
    deviation = math.sqrt(float(np.sum(influence**2))) / len(f)
    value = float(g.mean()) + correction
    z = float(norm.isf(error / 2.0))
    mean_label = float(np.sum(w[seen] * y[seen]) / np.sum(w))
    plain = float(np.sum((w[seen] * (y[seen] - mean_label)) ** 2)) / float(np.sum(w)) ** 2
    n_labelled = int(seen.sum())
    saved = n_labelled * (plain / deviation**2 - 1.0) if deviation > 0.0 else 0.0
    return PoweredEstimate(
        value=value,
        standard_error=deviation,
        lower=value - z * deviation,
        upper=value + z * deviation,
        n=len(f),
        n_labelled=n_labelled,
        coefficient=float(coefficients.mean()),
        labels_saved=saved,
    )


class Called(NamedTuple):
    """All items with one prediction, yes or no: the sums of their weights and of the squares.

    A weight is 1 / the probability with which the item was measured at all.
    """

    weight: float
    weight_squared: float


class Labelled(NamedTuple):
    """An item of the audit: its prediction, its label, and 1 / the probability to have both."""

    called: bool
    label: bool
    weight: float


def powered_share(
    yes: Called, no: Called, audit: Iterable[Labelled], *, error: float = 0.05
) -> tuple[float, float, float] | None:
    """Share of items whose label is yes, from their predictions and a random audit: (value, lower, upper).

    With a prediction that is yes or no, the best coefficient of PPI++ makes the estimate the
    post-stratified one: the share among the labelled of each prediction, at the share of that
    prediction among all. Each has Wilson's interval at Kish's effective size, which does not vanish
    where every label agrees; with the chance of the prediction's own share they are joined as
    independent ones (Zou and Donner 2008).

    Returns None where a prediction that was made has no label.
    """
    rows = list(audit)
    total = yes.weight + no.weight
    z2 = float(norm.isf(error / 2.0)) ** 2
    value = below = above = second = 0.0
    for called, group in ((True, yes), (False, no)):
        weights = np.array([row.weight for row in rows if row.called is called])
        if group.weight == 0.0:
            continue
        if not len(weights):
            return None
        right = np.array([row.label for row in rows if row.called is called])
        share = float(np.sum(weights * right) / np.sum(weights))
        n = float(np.sum(weights) ** 2 / np.sum(weights**2))
        interval = wilson(share * n, n, error)
        part = group.weight / total
        value += part * share
        second += part * share**2
        below += (part * (share - interval.lower)) ** 2
        above += (part * (interval.upper - share)) ** 2
    if total == 0.0:
        return None
    effective = total**2 / (yes.weight_squared + no.weight_squared)
    of_calls = z2 * max(0.0, second - value**2) / effective
    return (
        value,
        max(0.0, value - math.sqrt(below + of_calls)),
        min(1.0, value + math.sqrt(above + of_calls)),
    )


def powered_sequence(
    predictions: Sequence[float] | Floats,
    labels: Sequence[float] | Floats,
    audit_probabilities: Sequence[float] | Floats,
    *,
    min_probability: float,
    error: float = 0.05,
) -> tuple[Floats, Floats]:
    """Bounds of the mean label that hold at every item at once: (lower, upper), each of shape (n,).

    For watching live. The estimate c f + (y - c f) / p of each item, with the coefficient c taken from
    earlier items, lies in [1 - 1/q, 1/q] for q = `min_probability` and is rescaled into [0, 1].
    """
    f, y, pi = _items(predictions, labels, audit_probabilities)
    if not 0.0 < min_probability <= 1.0 or np.any(pi < min_probability * (1.0 - 1e-9)):
        raise BadInputError("an audit probability lies below the declared minimum")
    seen = ~np.isnan(y)
    c = _earlier_coefficients(f, y, seen, pi)
    g = np.clip(c * f, 0.0, 1.0)
    z = g + np.where(seen, (np.nan_to_num(y) - g) / pi, 0.0)
    low, width = 1.0 - 1.0 / min_probability, 2.0 / min_probability - 1.0
    lower, upper = confidence_sequence(np.clip((z - low) / width, 0.0, 1.0), error)
    return np.maximum(0.0, low + width * lower), np.minimum(1.0, low + width * upper)


def _folds(seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Fold of each item, balanced among the labelled and among the others, by position alone."""
    fold = np.zeros(len(seen), dtype=np.int64)
    fold[seen] = np.arange(int(seen.sum())) % FOLDS
    fold[~seen] = np.arange(int((~seen).sum())) % FOLDS
    return fold


def _coefficient(f: Floats, y: Floats, w: Floats, use: NDArray[np.bool_]) -> float:
    """Weighted regression slope of label on prediction; 0 for a constant prediction."""
    weight = w[use] / np.sum(w[use])
    centred = f[use] - np.sum(weight * f[use])
    variance = float(np.sum(weight * centred**2))
    if variance <= 1e-12:
        return 0.0
    return float(np.sum(weight * centred * y[use]) / variance)


def _earlier_coefficients(f: Floats, y: Floats, seen: NDArray[np.bool_], pi: Floats) -> Floats:
    """Running regression slope over the items before each one; 0 until two labels differ."""
    w = np.where(seen, 1.0 / pi, 0.0)
    label = np.nan_to_num(y)
    sums = [np.r_[0.0, np.cumsum(v)[:-1]] for v in (w, w * f, w * label, w * f * f, w * f * label)]
    total, sum_f, sum_y, sum_ff, sum_fy = sums
    variance = total * sum_ff - sum_f**2
    ok = variance > 1e-9
    slope = (total * sum_fy - sum_f * sum_y) / np.where(ok, variance, 1.0)
    return np.where(ok, slope, 0.0)


def _items(
    predictions: Sequence[float] | Floats,
    labels: Sequence[float] | Floats,
    probabilities: Sequence[float] | Floats,
) -> tuple[Floats, Floats, Floats]:
    f, y, pi = (np.asarray(v, dtype=np.float64) for v in (predictions, labels, probabilities))
    if f.ndim != 1 or f.shape != y.shape or f.shape != pi.shape:
        raise BadInputError("predictions, labels and probabilities are vectors of one length")
    seen = ~np.isnan(y)
    if not np.all((f >= 0) & (f <= 1)) or not np.all((y[seen] >= 0) & (y[seen] <= 1)):
        raise BadInputError("predictions and labels lie in [0, 1]")
    if not np.all((pi > 0) & (pi <= 1)):
        raise BadInputError("audit probabilities lie in (0, 1]")
    return f, y, pi
