"""Posterior predictive check: does the fitted mixture reproduce how raters' ups vary with p_lie?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import ndtr

from monitor.cohorts.plane import LEVELS, UP_ON_HONEST, UP_ON_LIES, Float
from monitor.cohorts.population import Population
from monitor.cohorts.results import PredictiveCheck

_MAX_RATERS = 4_000
_MAX_RATIO = 1.25
_P_VALUE = 1e-3


def predictive_check(
    counts: csr_matrix, bins: NDArray[np.int64], population: Population, *, margin: float
) -> PredictiveCheck:
    """Squared deviation of each rater's gap from the mixture's mean, over the mixture's variance.

    A rater's gap is the sum over events of (q - mean q) x up: the statistic by which bias shows. Its
    mean and variance given each cell are exact, and mixed by the law of total variance. Raters with
    one event, or with equal p_lie throughout, say nothing and are left out.
    """
    dense = np.asarray(counts[:_MAX_RATERS].todense(), dtype=np.float64)
    bins = bins[:_MAX_RATERS]
    up, down = dense[:, : len(LEVELS)], dense[:, len(LEVELS) :]
    events = up + down
    total = events.sum(axis=1)
    centre = (events @ LEVELS) / np.maximum(total, 1e-12)
    lean = LEVELS - centre[:, None]
    tells = (total > 1) & ((events * lean**2).sum(axis=1) > 1e-3)
    if tells.sum() < 20:
        return PredictiveCheck(ok=True, ratio=1.0, p_value=1.0, n=int(tells.sum()))
    up, events, lean, bins = up[tells], events[tells], lean[tells], bins[tells]
    rate = (1 - LEVELS[:, None]) * UP_ON_HONEST + LEVELS[:, None] * UP_ON_LIES
    mean = (events * lean) @ rate
    variance = (events * lean**2) @ (rate * (1 - rate))
    cell = _cell_shares(bins, population, margin)
    centre_of_mixture = (cell * mean).sum(axis=1)
    spread = (cell * (variance + mean**2)).sum(axis=1) - centre_of_mixture**2
    deviation = ((up * lean).sum(axis=1) - centre_of_mixture) ** 2 / np.maximum(spread, 1e-9)
    ratio = float(deviation.mean())
    z = (ratio - 1) / max(float(deviation.std()) / np.sqrt(len(deviation)), 1e-9)
    p_value = float(2 * ndtr(-abs(z)))
    off = max(ratio, 1 / max(ratio, 1e-9))
    fits = p_value > _P_VALUE or off < _MAX_RATIO
    return PredictiveCheck(
        ok=fits, varies_as_modelled=fits, ratio=ratio, p_value=p_value, n=len(deviation)
    )


def _cell_shares(bins: NDArray[np.int64], population: Population, margin: float) -> Float:
    """Prior mass of every cell for each rater, shape (raters, CELLS)."""
    return (population.shares @ population.cell_weights(margin).T)[bins]
