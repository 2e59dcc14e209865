"""Prediction-powered estimates: the labels of a random audit, sharpened by a cheap prediction of every item.

Of the measured items a random audit labels some, each with a stored probability. The prediction's share
is corrected by what the labels say of it, at a weight that makes a bad prediction cost no precision (PPI++,
arXiv 2311.01453). Labels that were not chosen at random have no place here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from evidence.confidence import clopper_pearson

_FEWEST_LABELS = 2


class Predicted(NamedTuple):
    """All items with one prediction: the sums of their weights and of the squares.

    A weight is 1 / the probability with which the item was measured at all.
    """

    weight: float
    weight_squared: float


class Labelled(NamedTuple):
    """An item of the audit: its prediction, its label, and 1 / the probability to have both."""

    predicted: str
    label: bool
    weight: float


def powered_share(
    predicted: Mapping[str, Predicted], audit: Iterable[Labelled], *, error: float = 0.05
) -> tuple[float, float, float] | None:
    """Share of items whose label is yes, from their predictions and a random audit: (value, lower, upper).

    With predictions of a few kinds the best coefficient of PPI++ makes the estimate the post-stratified
    one: the share among the labelled of each prediction, at the share of that prediction among all.
    A prediction with fewer than two labels is joined to the one with the next fewest: how many there are
    says nothing of what they say. Each has Clopper and Pearson's interval at Kish's effective size, since
    few labels of rare lies are far from normal; with the chance of the prediction's own share they are
    joined as independent ones (Zou and Donner 2008).

    Returns None without two labels.
    """
    rows = list(audit)
    groups = _joined_groups(predicted, rows)
    if not groups:
        return None
    total = sum(all_of.weight for all_of, _ in groups)
    value = below = above = second = 0.0
    for all_of, labelled in groups:
        weights = np.array([row.weight for row in labelled])
        right = np.array([row.label for row in labelled])
        share = float(np.sum(weights * right) / np.sum(weights))
        n = float(np.sum(weights) ** 2 / np.sum(weights**2))
        interval = clopper_pearson(share * n, n, error)
        part = all_of.weight / total
        value += part * share
        second += part * share**2
        below += (part * (share - interval.lower)) ** 2
        above += (part * (interval.upper - share)) ** 2
    squares = sum(all_of.weight_squared for all_of, _ in groups)
    of_calls = float(ndtri(error / 2.0)) ** 2 * max(0.0, second - value**2) * squares / total**2
    return (
        value,
        max(0.0, value - math.sqrt(below + of_calls)),
        min(1.0, value + math.sqrt(above + of_calls)),
    )


def _joined_groups(
    predicted: Mapping[str, Predicted], rows: Sequence[Labelled]
) -> list[tuple[Predicted, list[Labelled]]]:
    """Each prediction with its labels; that with the fewest joined to the next while it has too few."""
    found = [
        (group, [row for row in rows if row.predicted == name])
        for name, group in sorted(predicted.items())
        if group.weight > 0.0
    ]
    found.sort(key=lambda one: len(one[1]))
    while len(found) > 1 and len(found[0][1]) < _FEWEST_LABELS:
        (a, of_a), (b, of_b), *rest = found
        both = Predicted(a.weight + b.weight, a.weight_squared + b.weight_squared)
        found = sorted([(both, of_a + of_b), *rest], key=lambda one: len(one[1]))
    return found if found and len(found[0][1]) >= _FEWEST_LABELS else []
