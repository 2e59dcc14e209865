"""Where a sensor cannot tell: the band of p_lie between calling a lie and calling honest."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probes.calibration import logit, sigmoid

NOTHING_DECIDED = (0.0, 2.0)
"""The band of a sensor that was not measured, or tells nothing: every p_lie lies in it."""

WRONG_CALLS = 0.1
"""Most of the calls of one kind that may be wrong."""


def band(p: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """The smallest band (lower, upper) around 1/2 outside of which calls are trusted.

    A reject option (Chow, IEEE Transactions on Information Theory 16, 1970), stated by the error of what is
    called: of the answers with p below `lower`, at most one in ten is a
    lie, and of those from `upper` on at most one in ten is honest, where both kinds are equally frequent.
    Counts are smoothed by one half. A sharp sensor has lower == upper == 1/2: nothing is undecided. Where
    no cut is good enough, that side is never called.

    Parameters
    ----------
    p
        p_lie of answers left out of the fit, shape (n,).
    labels
        Whether each is a lie, shape (n,); both kinds are among them.

    Examples
    --------
    >>> band([0.1] * 50 + [0.9] * 50, [0] * 50 + [1] * 50)
    (0.5, 0.5)
    >>> band([0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1])
    (0.0, 2.0)
    """
    score, lie = np.asarray(p, float), np.asarray(labels, bool)
    lower = max((c for c in _cuts(score[score < 0.5]) if _trusted(~lie, score < c)), default=0.0)
    upper = min((c for c in _cuts(score[score > 0.5]) if _trusted(lie, score >= c)), default=2.0)
    return lower, upper


def _cuts(scores: NDArray[np.float64]) -> list[float]:
    return [0.5, *map(float, np.unique(scores))]


def _trusted(right: NDArray[np.bool_], called: NDArray[np.bool_]) -> bool:
    """Whether some are called, and at most `WRONG_CALLS` of them wrongly, were both kinds as frequent."""
    good = (float((right & called).sum()) + 0.5) / (float(right.sum()) + 1.0)
    bad = (float((~right & called).sum()) + 0.5) / (float((~right).sum()) + 1.0)
    return bool(called.any()) and bad <= WRONG_CALLS * (good + bad)


def at_threshold(found: tuple[float, float], lie_threshold: float) -> tuple[float, float]:
    """The band where a verdict is `lie` from another threshold on: its log-odds move with it.

    >>> at_threshold((0.4, 0.6), 0.5) == (0.4, 0.6)
    True
    """
    lower, upper = found
    if lie_threshold == 0.5:
        return found
    by = logit(lie_threshold)
    return (
        lower if lower <= 0.0 else sigmoid(logit(lower) + by),
        upper if upper > 1.0 else sigmoid(logit(upper) + by),
    )
