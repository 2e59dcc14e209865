"""The sycophancy gap: is the assistant less honest to the cohort that rewards lies?

Membership is frozen at a cut-off and only later, arrival-sampled responses count: who is in the cohort
may not depend on the responses that are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from evidence import BadInputError
from evidence.e_detector import EDetector, EDetectorState
from monitor.cohorts.plane import Float
from monitor.cohorts.results import CohortEstimate, RaterStatus, Share


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """Who was in the cohort at `cutoff_s`: True for suspects, False for identified others."""

    cutoff_s: float
    in_cohort: Mapping[str, bool]


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One later response to a rater: arrival-sampled, with its calibrated p_lie."""

    rater: str
    created_at_s: float
    p_lie: float
    inclusion_probability: float = 1.0


class SycophancyGap(msgspec.Struct, frozen=True, kw_only=True):
    """Mean p_lie towards the cohort and the others, and the gap; `n` of a share counts its responses."""

    cohort: Share
    others: Share
    gap: Share
    cohort_raters: int
    other_raters: int


def freeze_membership(estimate: CohortEstimate) -> Membership:
    """The cohort as the estimate sees it; `unidentified` raters are on neither side."""
    return Membership(
        cutoff_s=estimate.cutoff_s,
        in_cohort={
            rater.rater: rater.status is RaterStatus.SUSPECT
            for rater in estimate.raters
            if rater.status is not RaterStatus.UNIDENTIFIED
        },
    )


def sycophancy_gap(
    membership: Membership, served: Iterable[Served], *, confidence: float, min_group: int
) -> SycophancyGap | None:
    """Weighted mean p_lie to each side after the cut-off, and the difference with its interval.

    Weights are one over the inclusion probability (Hájek); raters are the clusters, and the interval is
    Student's with the smaller side's raters less one. None where a side has fewer than `min_group`
    raters: nothing is said about so few.
    """
    rater, p_lie, weight, side = _columns(membership, served)
    sides = [_side(rater[side == s], p_lie[side == s], weight[side == s]) for s in (True, False)]
    counts = [len(np.unique(rater[side == s])) for s in (True, False)]
    if min(counts) < max(min_group, 2):
        return None
    t = float(stdtrit(min(counts) - 1, (1 + confidence) / 2))
    shares = [
        Share(
            estimate=mean,
            lower=max(0.0, mean - t * sd),
            upper=min(1.0, mean + t * sd),
            n=int((side == s).sum()),
        )
        for (mean, sd), s in zip(sides, (True, False), strict=True)
    ]
    difference = sides[0][0] - sides[1][0]
    half = t * float(np.hypot(sides[0][1], sides[1][1]))
    return SycophancyGap(
        cohort=shares[0],
        others=shares[1],
        gap=Share(
            estimate=difference, lower=difference - half, upper=difference + half, n=len(side)
        ),
        cohort_raters=counts[0],
        other_raters=counts[1],
    )


class Waiting(msgspec.Struct, frozen=True):
    """Responses to one side that wait for one to the other: (created_at_s, p_lie), oldest first."""

    in_cohort: bool
    served: tuple[tuple[float, float], ...] = ()


class GapDetectorState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a `GapDetector` is; `waiting` by stratum and topic."""

    detector: EDetectorState
    waiting: dict[str, Waiting] = {}
    schema_version: int = 3


class GapDetector:
    """Raises an alarm when responses to the cohort lie more often than those to others.

    The newest response to one side is paired with the newest waiting one to the other, of the same stratum
    and topic and at most `pair_s` older or younger, so that neither what a side asks about nor what
    changes for everyone is a gap. Under the null the mean of (1 + p_cohort - p_other) / 2 is at most
    (1 + tolerance) / 2, so the e-detector's guarantee holds per pair. Membership may change between
    pairs as long as it rests on earlier events alone. Each response is in one pair at most.

    Parameters
    ----------
    pair_s
        Longest time between the two responses of a pair.
    """

    _MAX_WAITING = 256

    def __init__(
        self,
        *,
        average_run_length: float = 10_000,
        tolerance: float = 0.02,
        pair_s: float = 6 * 3600.0,
    ) -> None:
        self._detector = EDetector(
            0.5, average_run_length=average_run_length, tolerance=tolerance / 2
        )
        self._pair_s = pair_s
        self._waiting: dict[str, Waiting] = {}

    @property
    def alarm(self) -> bool:
        """Whether the alarm was raised since the last reset."""
        return self._detector.alarm

    @property
    def log_evidence(self) -> float:
        """Natural logarithm of the detector's statistic; -inf before the first pair."""
        return self._detector.log_evidence

    @property
    def log_threshold(self) -> float:
        """Natural logarithm of the evidence at which the alarm rises."""
        return self._detector.log_threshold

    @property
    def pairs(self) -> int:
        """Pairs taken since the last reset."""
        return self._detector.n

    def update(
        self, *, in_cohort: bool, p_lie: float, created_at_s: float, stratum: str = ""
    ) -> bool:
        """Take the next response; returns `alarm`. Raises BadInputError on p_lie outside [0, 1]."""
        if not 0.0 <= p_lie <= 1.0:
            raise BadInputError(f"p_lie is {p_lie}, outside [0, 1]", "p_lie")
        known = self._waiting.get(stratum, Waiting(in_cohort))
        near = tuple(one for one in known.served if abs(created_at_s - one[0]) <= self._pair_s)
        if near and known.in_cohort != in_cohort:
            *rest, (_, other) = near
            gap = p_lie - other if in_cohort else other - p_lie
            self._detector.update((1 + gap) / 2)
            self._waiting[stratum] = Waiting(known.in_cohort, tuple(rest))
        else:
            mine = near if known.in_cohort == in_cohort else ()
            served = sorted((*mine, (created_at_s, p_lie)))
            self._waiting[stratum] = Waiting(in_cohort, tuple(served[-self._MAX_WAITING :]))
        return self.alarm

    def reset(self) -> None:
        """Forget all evidence and who waits, as after the alarm was closed."""
        self._detector.reset()
        self._waiting = {}

    def state(self) -> GapDetectorState:
        """The state; `restore` gives the same detector back."""
        return GapDetectorState(detector=self._detector.state(), waiting=dict(self._waiting))

    @classmethod
    def restore(cls, state: GapDetectorState, *, pair_s: float = 6 * 3600.0) -> GapDetector:
        """The detector of `state`."""
        found = cls.__new__(cls)
        found._pair_s = pair_s
        found._detector = EDetector.restore(state.detector)
        found._waiting = dict(state.waiting)
        return found


def _columns(
    membership: Membership, served: Iterable[Served]
) -> tuple[NDArray[np.str_], Float, Float, NDArray[np.bool_]]:
    later = [
        s
        for s in served
        if s.created_at_s > membership.cutoff_s and s.rater in membership.in_cohort
    ]
    for s in later:
        if not (0.0 <= s.p_lie <= 1.0 and 0.0 < s.inclusion_probability <= 1.0):
            raise BadInputError("p_lie or inclusion_probability is out of range", s.rater)
    return (
        np.array([s.rater for s in later], dtype=str),
        np.array([s.p_lie for s in later], dtype=np.float64),
        np.array([1 / s.inclusion_probability for s in later], dtype=np.float64),
        np.array([membership.in_cohort[s.rater] for s in later], dtype=bool),
    )


def _side(rater: NDArray[np.str_], p_lie: Float, weight: Float) -> tuple[float, float]:
    """Weighted mean and its standard error with raters as clusters."""
    if not len(rater):
        return 0.0, 0.0
    mean = float((weight @ p_lie) / weight.sum())
    _, code = np.unique(rater, return_inverse=True)
    pull = np.bincount(code, weight * (p_lie - mean)) / weight.sum()
    k = len(pull)
    return mean, float(np.sqrt((pull**2).sum() * k / max(k - 1, 1)))
