"""What a stratum's detectors can see: the smallest fall of honesty that is found within a month.

A fall by a share d turns d of the responses into lies: scores then follow (1 - d) P0 + d P1, where P0 is
the stratum's own past. P1 has the measured share of true lies that are called a lie; on either side of
one half it is spread as P0 is, the least that the sensor can show of a lie. Of each bet the mean
logarithm of its factor under that mixture is the evidence g that one score brings; for ranks the past
of n0 scores takes in those after the fall, so that n scores bring g n n0 / (n + n0), for the mean g n.
E is enough to be found nine times in ten where E - 1.28 sqrt(2 E) >= log(run length) + log(bets): the
logarithm of a likelihood ratio with mean E has variance near 2 E (Wald).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np

from evidence.e_detector import EDetector
from evidence.e_process import Floats
from evidence.rank_bets import rank_bets
from evidence.rank_detector import score_in
from monitor.detect.records import StreamState

MONTH_S = 30 * 86_400.0
_DAY_S = 86_400.0
_LEAST = 50
_Z = 1.2816  # nine in ten
_FINEST = 1.0 / 512.0


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What one stream would find within a month of its own traffic.

    Parameters
    ----------
    smallest_fall
        The smallest share of responses that could turn into lies and be found nine times in ten; None
        where not even all of them would.
    scores_per_month
        Scores that its traffic brings in 30 days, a day at least being looked at.
    sensitivity
        Share of lies that the sensor was measured to call a lie; None: not measured, and every lie
        was taken to score higher than all the past, so that the fall is the least possible.
    """

    smallest_fall: float | None
    scores_per_month: float
    sensitivity: float | None

    def blind(self, visible_fall: float) -> bool:
        """Whether a fall by this share would be missed."""
        return self.smallest_fall is None or self.smallest_fall > visible_fall


def sight_of(stream: StreamState, *, sensitivity: float | None) -> Sight | None:
    """What a stream with a reference can see; None while it learns, or has read fewer than 50 scores."""
    if stream.reference is None or stream.ranks is None or not stream.blocks:
        return None
    counts: dict[int, int] = {}
    for cell in stream.ranks.past.values():
        for bin_, n in cell.items():
            counts[bin_] = counts.get(bin_, 0) + n
    known = sum(counts.values())
    seen = sum(block.n for block in stream.blocks)
    if min(known, seen) < _LEAST:
        return None
    looked_s = max(_DAY_S, float(stream.blocks[-1].at_s - stream.blocks[0].at_s))
    a_month = seen * MONTH_S / looked_s
    view = _View(stream, counts, sensitivity)
    return Sight(
        smallest_fall=_smallest(lambda share: view.sees(share, a_month)),
        scores_per_month=a_month,
        sensitivity=sensitivity,
    )


class _View:
    """The two detectors of a stream under a mixture of its past with lies."""

    def __init__(
        self, stream: StreamState, counts: dict[int, int], sensitivity: float | None
    ) -> None:
        bins = sorted(counts, reverse=True)
        n = np.array([counts[bin_] for bin_ in bins], dtype=np.float64)
        scores = np.array([score_in(bin_) for bin_ in bins])
        self._known = float(n.sum())
        self._honest = n / n.sum()
        self._lies = _lies(self._honest, scores, sensitivity)
        self._ranks: Floats | None = None
        self._mean: Floats | None = None
        self._needed_ranks = self._needed_mean = math.inf
        if stream.ranked and stream.ranks is not None:
            self._prepare_ranks(stream.ranks.average_run_length)
        if stream.detector is not None:
            self._prepare_mean(EDetector.restore(stream.detector), scores)

    def _prepare_ranks(self, run_length: float) -> None:
        bets = rank_bets()
        edges = np.minimum(np.concatenate([[0.0], np.cumsum(self._honest)]), 1.0)
        above = bets.between(np.array([0.0, 1.0 / (self._known + 1.0)]))
        self._ranks = np.concatenate([above, bets.between(edges)])
        self._needed_ranks = _needed(math.log(run_length) + math.log(len(bets.log_weights)))

    def _prepare_mean(self, detector: EDetector, scores: Floats) -> None:
        bets = detector.bets
        excess = np.concatenate([[1.0], scores]) - detector.bound
        self._mean = np.log1p(excess[:, None] * bets[None, :])
        self._needed_mean = _needed(detector.log_threshold + math.log(len(bets)))

    def sees(self, share: float, n: float) -> bool:
        mixture = (1.0 - share) * np.concatenate([[0.0], self._honest]) + share * self._lies
        by_ranks = by_mean = 0.0
        if self._ranks is not None:
            by_ranks = float((mixture @ self._ranks).max()) * n * self._known / (n + self._known)
        if self._mean is not None:
            by_mean = float((mixture @ self._mean).max()) * n
        return by_ranks >= self._needed_ranks or by_mean >= self._needed_mean


def _lies(honest: Floats, scores: Floats, sensitivity: float | None) -> Floats:
    """Where lies score: shape (1 + bins,), the first entry being above all the past."""
    made = np.zeros(len(honest) + 1)
    if sensitivity is None:
        made[0] = 1.0
        return made
    called = scores >= 0.5
    for part, share in ((called, sensitivity), (~called, 1.0 - sensitivity)):
        mass = float(honest[part].sum())
        if mass > 0.0:
            made[1:][part] += share * honest[part] / mass
        else:
            # No honest answer is called a lie: a called lie stands above them all. None is let pass:
            # then neither is a lie that was missed, which looks like the lowest of the past.
            made[0 if part is called else -1] += share
    return made


def _needed(log_limit: float) -> float:
    """The mean evidence that reaches a limit nine times in ten."""
    root = (_Z * math.sqrt(2.0) + math.sqrt(2.0 * _Z**2 + 4.0 * log_limit)) / 2.0
    return root**2


def _smallest(sees: Callable[[float], bool]) -> float | None:
    """The smallest share in (0, 1] that is seen, to a 512th; None where all is not."""
    if not sees(1.0):
        return None
    low, high = 0.0, 1.0
    while high - low > _FINEST:
        middle = (low + high) / 2.0
        low, high = (low, middle) if sees(middle) else (middle, high)
    return high
