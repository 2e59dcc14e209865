"""Bets on a rank: factors that grow when scores stand high among those that came before them.

Under the null the smoothed rank p of a score among its predecessors is uniform on (0, 1), small for a
high score (Vovk, Gammerman and Shafer 2005, section 2.2). A bet is a transform X(p) in [0, 1] with its
exact null mean m and a size b: the factor 1 + b (X - m) / m has the conditional mean one.

X is the density ratio of two normal scores a distance apart, cut off from above: what a sensor of that
sharpness shows of lies. b is then the share of responses that turned into lies. Shares below a twelfth
are not bet on, so that a smaller or slower change of the mix gathers no evidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

from evidence.e_process import Floats

CELLS = 1_024
"""p is read to this many equal parts; X is constant on each, which makes its null mean exact."""

_CUT = 40.0
_BETS = (
    *((0.5, share) for share in (0.4, 0.8)),
    *((1.0, share) for share in (0.08, 0.2, 0.4, 0.8)),
    *((1.5, share) for share in (0.08, 0.2, 0.4, 0.8)),
    *((2.0, share) for share in (0.08, 0.2, 0.4)),
    *((3.0, share) for share in (0.08, 0.3)),
)
"""(distance in standard deviations, share): small distances with large shares alone, or else every
small drift of all scores would be bet on."""


@dataclass(frozen=True)
class RankBets:
    """`log_factors` has shape (CELLS, bets), `log_weights` (bets,); weights sum to one."""

    log_factors: Floats
    log_weights: Floats

    def at(self, p: float) -> Floats:
        """Logarithms of all factors at a rank p in [0, 1], shape (bets,)."""
        return np.asarray(self.log_factors[min(int(p * CELLS), CELLS - 1)])

    def between(self, edges: Floats) -> Floats:
        """Mean logarithms of all factors for ranks uniform between neighbouring edges.

        `edges` rise from 0 to 1, shape (n + 1,); the answer has shape (n, bets), 0 for an empty part.
        """
        place = edges * CELLS
        cell = np.minimum(place.astype(int), CELLS - 1)
        upto = np.vstack([np.zeros(len(self.log_weights)), np.cumsum(self.log_factors, axis=0)])
        area = upto[cell] + (place - cell)[:, None] * self.log_factors[cell]
        width = np.diff(place)[:, None]
        mean: Floats = np.zeros(area[1:].shape)
        np.divide(np.diff(area, axis=0), width, out=mean, where=width > 0)
        return mean


@cache
def rank_bets() -> RankBets:
    """The bets that every detector on ranks makes."""
    normal = NormalDist()
    z = np.array([-normal.inv_cdf((i + 0.5) / CELLS) for i in range(CELLS)])
    columns = []
    for distance, share in _BETS:
        ratio = np.minimum(np.exp(distance * z - distance**2 / 2.0), _CUT)
        columns.append(np.log1p(share * (ratio / ratio.mean() - 1.0)))
    made = np.array(columns).T.copy()
    made.setflags(write=False)
    return RankBets(made, np.full(len(_BETS), -math.log(len(_BETS))))
