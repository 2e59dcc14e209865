"""Raters who changed: biased in one half of the period and benign in the other.

The model gives every rater one behaviour. Those who turned look like something in between, mostly like
nobody in particular, so the share of biased raters is too low by about as many as turned. How many did is
estimated beside it, and the share's interval reaches up by as much.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from monitor.cohorts.plane import Float, scaled_likelihoods
from monitor.cohorts.population import BENIGN, BIASED, Population

_MAX_RATERS = 20_000
_GRID = np.concatenate(([0.0], np.geomspace(2e-3, 0.4, 60)))
# The drop of log-likelihood within which a share of turned raters is open (one standard error), and from which
# none at all is out of the question.
_OPEN, _SURE = 0.5, 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Turned:
    """The share of raters who turned: the likeliest, the most that is open, and whether any surely did."""

    estimate: float
    upper: float
    surely: bool


def turned_raters(
    whole: csr_matrix,
    early: csr_matrix,
    bins: NDArray[np.int64],
    population: Population,
    *,
    margin: float,
) -> Turned:
    """Likelihood of a share of raters who were biased in one half and benign in the other.

    Parameters
    ----------
    whole, early
        Ups and downs per level of each rater, over the whole period and up to its middle.
    """
    whole, early, bins = whole[:_MAX_RATERS], early[:_MAX_RATERS], bins[:_MAX_RATERS]
    cells = population.cell_weights(margin)

    def by_class(counts: csr_matrix) -> tuple[Float, Float]:
        scaled, top = scaled_likelihoods(counts)
        return scaled @ cells, top.astype(np.float64)

    of_whole, top = by_class(whole)
    of_early, top_early = by_class(early)
    of_late, top_late = by_class(whole - early)
    steady = np.log((population.shares[bins] * of_whole).sum(axis=1)) + top
    changed = of_early[:, BIASED] * of_late[:, BENIGN] + of_early[:, BENIGN] * of_late[:, BIASED]
    ratio = np.exp(np.clip(np.log(changed / 2) + top_early + top_late - steady, -50.0, 50.0))
    value = np.log1p(_GRID[:, None] * (ratio - 1)).sum(axis=1)
    open_ = _GRID[value >= value.max() - _OPEN]
    return Turned(
        estimate=float(_GRID[int(value.argmax())]),
        upper=float(open_.max()),
        surely=bool(value[0] < value.max() - _SURE),
    )
