"""From the features of a response to p_lie: a logistic regression that is fitted for each assistant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from evidence import BadInputError
from probes.approved.features import matrix
from probes.calibration import sigmoid

NAMES = ("fresh_log_claim_nats", "fresh_told_share", "fresh_told_most_nats", "earlier_nats")
"""What p_lie is read from: without the assistant's earlier turns, as an earlier false answer makes its repetition
likely. How much likelier the own version finds a response is not among it: it reads tone as surprise does, and
calibration has no drifted version to fit it to."""
FOLDS = 5
_PENALTY = 1.0


class Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """p = sigmoid(intercept + Σ weightᵢ · (clip(xᵢ) − centreᵢ) / scaleᵢ).

    `lower` and `upper` are the range of each feature among the answers it was fitted to: beyond it
    nothing was learned, so a value counts as the nearest that was seen.
    """

    names: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    def p_lie(self, features: Mapping[str, float]) -> float:
        """Probability of a lie, in (0, 1)."""
        total = self.intercept
        columns = (self.names, self.lower, self.upper, self.centre, self.scale, self.weights)
        for name, lower, upper, centre, scale, weight in zip(*columns, strict=True):
            value = min(upper, max(lower, features[name]))
            total += weight * (value - centre) / scale
        return sigmoid(total)


def fit_reading(rows: Sequence[Mapping[str, float]], labels: Sequence[bool]) -> Reading:
    """Fit to labelled answers. Raises BadInputError when they are not of both kinds."""
    if len(set(labels)) < 2:
        raise BadInputError("labelled answers of both kinds are needed: honest ones and lies")
    x = matrix(rows, NAMES)
    lower, upper = np.quantile(x, [0.01, 0.99], axis=0)
    clipped = np.clip(x, lower, upper)
    centre, scale = clipped.mean(0), np.maximum(clipped.std(0), 1e-6)
    model = LogisticRegression(C=_PENALTY).fit((clipped - centre) / scale, np.asarray(labels, int))
    return Reading(
        names=NAMES,
        lower=tuple(map(float, lower)),
        upper=tuple(map(float, upper)),
        centre=tuple(map(float, centre)),
        scale=tuple(map(float, scale)),
        weights=tuple(map(float, model.coef_[0])),
        intercept=float(model.intercept_[0]),
    )


def left_out(
    rows: Sequence[Mapping[str, float]], labels: Sequence[bool], groups: Sequence[str]
) -> NDArray[np.float64]:
    """p_lie of each row by a reading that was fitted without its group, shape (rows,)."""
    y, out = np.asarray(labels, int), np.zeros(len(rows))
    split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in split.split(np.zeros(len(y)), y, np.asarray(groups)):
        reading = fit_reading([rows[i] for i in train], [bool(y[i]) for i in train])
        out[test] = [reading.p_lie(rows[i]) for i in test]
    return out
