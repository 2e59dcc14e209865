"""Which raters to name: a list whose expected share of benign members is bounded."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from monitor.cohorts.plane import Float


@dataclasses.dataclass(frozen=True, slots=True)
class Suspects:
    """The list and what it costs.

    Parameters
    ----------
    listed
        Mask over raters.
    expected_false
        Expected number of listed raters who are not biased.
    benign_liked_lost
        Expected share of the other raters' liked training weight that quarantining the list loses.
    """

    listed: NDArray[np.bool_]
    expected_false: float
    benign_liked_lost: float


def choose_suspects(
    p_biased: Float, identified: NDArray[np.bool_], liked: Float, false_share: float
) -> Suspects:
    """The longest list, most probable first, whose mean 1 - p_biased is at most `false_share`.

    That mean is the posterior expected false share (Newton et al., 2004, Biostatistics 5:155). Raters
    who are not identified, or more likely not biased than biased, are never listed.
    """
    eligible = np.flatnonzero(identified & (p_biased > 0.5))
    order = eligible[np.argsort(-p_biased[eligible], kind="stable")]
    doubt = 1 - p_biased[order]
    running = np.cumsum(doubt) / np.arange(1, len(order) + 1)
    length = int(np.count_nonzero(running <= false_share))
    listed = np.zeros(len(p_biased), dtype=bool)
    listed[order[:length]] = True
    benign_liked = (1 - p_biased) * liked
    total = benign_liked.sum()
    return Suspects(
        listed=listed,
        expected_false=float(doubt[:length].sum()),
        benign_liked_lost=float(benign_liked[listed].sum() / total) if total > 0 else 0.0,
    )
