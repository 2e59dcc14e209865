"""The population of raters: a mixture over the plane of up-rates, as parameters and as masses.

Benign and biased raters each have Beta-distributed up-rates on honest answers and on lies, truncated
to their side of the margin; indifferent ones have any rate that is the same on both.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from monitor.cohorts.plane import CELLS, DIAGONAL, UP_ON_HONEST, UP_ON_LIES, Float, beta_weights

BENIGN, BIASED, INDIFFERENT = range(3)
# Raters with about as many events share a class prior; the bins' centres are logs of event counts.
_ACTIVITY_EDGES = np.array([2, 3, 5, 8, 14, 24, 42, 75])
_ACTIVITY_LOG = np.log(np.array([1, 2, 3.5, 6, 10.5, 18.5, 32, 57, 110]))
# Masses below this only slow float32 products down.
_NEGLIGIBLE = 1e-13
N_BINS = len(_ACTIVITY_LOG)


@dataclasses.dataclass(frozen=True, slots=True)
class Population:
    """Parameters of the mixture.

    Parameters
    ----------
    mean, concentration
        Of the Betas, shape (2 classes, 2 kinds of answer): benign and biased; honest and lie.
    diagonal
        Weights of the indifferent rates, shape (SIDE,), sums to one.
    shares
        Class shares per activity bin, shape (N_BINS, 3), rows sum to one.
    """

    mean: Float
    concentration: Float
    diagonal: Float
    shares: Float

    def cell_weights(self, margin: float) -> Float:
        """Mass of each class's raters in each cell, shape (CELLS, 3), columns sum to one."""
        mass = np.zeros((CELLS, 3))
        axes = beta_weights(self.mean, self.concentration)
        for k in (BENIGN, BIASED):
            honest, lies = axes[k]
            mass[:, k] = truncated(honest, lies, side_of_margin(k, margin))
        mass[DIAGONAL, INDIFFERENT] = self.diagonal
        mass[mass < _NEGLIGIBLE] = 0.0
        return mass


def side_of_margin(k: int, margin: float) -> NDArray[np.bool_]:
    """Cells in which class `k` may lie, shape (CELLS,)."""
    biased_side = margin - 1e-9 <= UP_ON_LIES - UP_ON_HONEST
    return biased_side if k == BIASED else ~biased_side


def truncated(honest: Float, lies: Float, allowed: NDArray[np.bool_]) -> Float:
    """Product of two axes' masses within `allowed`, normalised, shape (CELLS,)."""
    mass = (honest[:, None] * lies).ravel() * allowed
    return mass / mass.sum()


def activity_bin(n_events: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bin of raters by their number of events."""
    return np.searchsorted(_ACTIVITY_EDGES, n_events, side="right")


def centred_activity(bins: NDArray[np.int64]) -> Float:
    """Log activity of each bin less the raters' mean, shape (N_BINS,)."""
    weight = np.bincount(bins, minlength=N_BINS)
    return _ACTIVITY_LOG - (weight @ _ACTIVITY_LOG) / max(weight.sum(), 1)
