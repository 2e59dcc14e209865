"""The plane of raters' two up-rates, on honest answers and on lies, as a grid of cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import betainc

Float = NDArray[np.float64]

# Finer towards 0 and 1, where one event more or less says most.
THETA: Float = np.array(
    [
        0.01,
        0.03,
        0.06,
        0.1,
        0.16,
        0.23,
        0.31,
        0.4,
        0.5,
        0.6,
        0.69,
        0.77,
        0.84,
        0.9,
        0.94,
        0.97,
        0.99,
    ]
)
_EDGES: Float = np.concatenate(([0.0], (THETA[1:] + THETA[:-1]) / 2, [1.0]))
SIDE = len(THETA)
CELLS = SIDE * SIDE
UP_ON_HONEST: Float = np.repeat(THETA, SIDE)
UP_ON_LIES: Float = np.tile(THETA, SIDE)
DIAGONAL: NDArray[np.int64] = np.arange(SIDE) * (SIDE + 1)

# Judges are never certain: p_lie is read within [.01, .99]. Where lies are rare the odds of one may be
# lower all the same, so the grid of levels goes on.
_JUDGE_LIMIT = 4.6
_LOGIT_LIMIT = 6.9
_LEVELS = 49
_LOG_FLOOR = -50.0
LEVELS: Float = 1 / (1 + np.exp(-np.linspace(-_LOGIT_LIMIT, _LOGIT_LIMIT, _LEVELS)))


def logit(p: Float) -> Float:
    """Log-odds, clipped to the certainty a judge is granted (p_lie within [.01, .99])."""
    clipped = np.clip(p, 1e-6, 1 - 1e-6)
    return np.clip(np.log(clipped) - np.log1p(-clipped), -_JUDGE_LIMIT, _JUDGE_LIMIT)


def level_of(log_odds: NDArray[np.floating[Any]]) -> NDArray[np.int8]:
    """Index of the nearest of the `LEVELS` to each log-odds of a lie."""
    position = (log_odds + _LOGIT_LIMIT) * ((_LEVELS - 1) / (2 * _LOGIT_LIMIT))
    return np.rint(np.clip(position, 0, _LEVELS - 1)).astype(np.int8)


def log_rates(up_on_honest: Float, up_on_lies: Float) -> NDArray[np.float32]:
    """Log-probability of an up and a down at each level, shape (2 x levels, points)."""
    rate = (1 - LEVELS[:, None]) * up_on_honest + LEVELS[:, None] * up_on_lies
    return np.concatenate((np.log(rate), np.log1p(-rate))).astype(np.float32)


def cell_likelihoods(counts: csr_matrix) -> NDArray[np.float32]:
    """Likelihood of each rater's events in every cell, over the row's maximum, shape (raters, CELLS)."""
    return scaled_likelihoods(counts)[0]


def scaled_likelihoods(counts: csr_matrix) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`cell_likelihoods`, and the logarithm of each row's maximum, shape (raters,)."""
    log_likelihood = np.asarray(counts @ log_rates(UP_ON_HONEST, UP_ON_LIES), dtype=np.float32)
    top = log_likelihood.max(axis=1)
    log_likelihood -= top[:, None]
    # Numbers below float32's normal range make the matrix products twenty times slower.
    np.maximum(log_likelihood, _LOG_FLOOR, out=log_likelihood)
    np.exp(log_likelihood, out=log_likelihood)
    return log_likelihood, top


def beta_weights(mean: Float, concentration: Float) -> Float:
    """Mass of Beta(mean x concentration, (1 - mean) x concentration) in each interval.

    Shape (..., SIDE) for parameters of shape (...).
    """
    a, b = mean * concentration, (1 - mean) * concentration
    below = betainc(a[..., None], b[..., None], _EDGES)
    return np.maximum(below[..., 1:] - below[..., :-1], 1e-12)
