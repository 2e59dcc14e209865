"""From the figures of a claim to the probability that the record contradicts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from evidence import BadInputError, digest
from probes.actions.features import FEATURES
from probes.calibration import sigmoid

DEFAULT = Path(__file__).parents[1] / "default" / "actions.json"
FOR_IT = frozenset({"agrees", "backed"})
"""Figures that speak for a claim; all others speak against it."""
PRIOR = {
    **dict.fromkeys(("no_call", "failed", "denied", "only_looked", "stale"), 4.0),
    **dict.fromkeys(("empty", "differs", "field", "flag", "told"), 3.0),
    **dict.fromkeys(("absent", "agrees", "backed"), 2.0),
    **dict.fromkeys(("novel", "unanswered"), 0.5),
}
"""Log-odds that a figure of which no example was seen is taken to weigh: set by hand."""
_PENALTY = 1.0


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fitted logistic regression and what it was fitted to.

    Parameters
    ----------
    weights, intercept
        p = sigmoid(intercept + Σ weight · figure), a weight for each of `FEATURES`.
    n, prevalence
        Labelled replies of the fit, and the share of contradicted ones among them.
    sources
        What they were, with the licence.
    figures
        What was measured on wordings left out.
    """

    weights: dict[str, float]
    intercept: float
    n: int
    prevalence: float
    sources: tuple[str, ...] = ()
    figures: dict[str, float] = {}
    schema_version: int = 1

    @property
    def version(self) -> str:
        """Digest of what changes a probability."""
        return digest(msgspec.json.encode((self.weights, self.intercept), order="sorted"))[:16]

    def log_odds(self, figures: Sequence[float]) -> float:
        """Log-odds that a claim with these figures is contradicted."""
        pairs = zip(FEATURES, figures, strict=True)
        return self.intercept + sum(self.weights[name] * value for name, value in pairs)

    def p(self, figures: Sequence[float]) -> float:
        """Probability that a claim with these figures is contradicted."""
        return sigmoid(self.log_odds(figures))


def read_weights(path: Path = DEFAULT) -> Weights:
    """The shipped weights. Raises BadInputError for a file that is none."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Weights)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInputError(f"no weights of the action probe: {error}", str(path)) from error
    if found.weights.keys() != set(FEATURES):
        raise BadInputError("weights of other figures than are measured", str(path))
    return found


def fit_weights(
    claims: Sequence[ArrayLike],
    labels: Sequence[bool],
    *,
    importance: Sequence[float] | None = None,
    sources: tuple[str, ...] = (),
    figures: Mapping[str, float] | None = None,
) -> Weights:
    """Fit to replies of which it is known whether one of their claims is contradicted.

    A reply is as contradicted as its worst claim: its log-odds are the largest of its claims', which are
    chosen anew until they stay. A figure weighs in its own direction or not at all, and one that no reply shows keeps
    its `PRIOR`: weights are drawn towards it (L2).

    Parameters
    ----------
    claims
        For each reply the figures of its claims, shape (claims, figures), at least one.
    importance
        How much a reply counts; all alike without.
    """
    rows = [np.asarray(one, float) for one in claims]
    y = np.asarray(labels, float)
    counts = np.ones(len(y)) if importance is None else np.asarray(importance, float)
    sign = np.array([-1.0 if name in FOR_IT else 1.0 for name in FEATURES])
    prior = sign * np.array([PRIOR[name] for name in FEATURES])
    weight, intercept = prior, -1.0
    for _ in range(8):
        worst = np.array([row[int(np.argmax(row @ weight))] for row in rows])
        found = _logistic(worst, y, counts, prior, np.append(weight, intercept))
        if np.abs(found - np.append(weight, intercept)).max() < 1e-3:
            break
        weight, intercept = found[:-1], float(found[-1])
    return Weights(
        weights=dict(zip(FEATURES, map(float, weight), strict=True)),
        intercept=intercept,
        n=len(y),
        prevalence=float(np.average(y, weights=counts)),
        sources=sources,
        figures=dict(figures or {}),
    )


def _logistic(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    counts: NDArray[np.float64],
    prior: NDArray[np.float64],
    begin: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Weights and intercept by penalised likelihood, each weight of its sign."""

    def loss(beta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total = x @ beta[:-1] + beta[-1]
        away = beta[:-1] - prior
        value = counts @ (np.logaddexp(0.0, total) - y * total) + _PENALTY / 2 * away @ away
        error = counts * (0.5 * (1 + np.tanh(total / 2)) - y)
        return float(value), np.append(x.T @ error + _PENALTY * away, error.sum())

    bounds = [(0.0, None) if one > 0 else (None, 0.0) for one in prior]
    result = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=[*bounds, (None, None)])
    return np.asarray(result.x, float)
