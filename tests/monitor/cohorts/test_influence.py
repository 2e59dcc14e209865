from __future__ import annotations

import numpy as np
import pytest

from monitor.cohorts.estimate import estimate
from monitor.cohorts.events import EventTable
from monitor.cohorts.influence import Cohort, Truth, influence_of
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.simulate import simulate
from monitor.cohorts.votes import Votes
from tests.monitor.cohorts.populations import population

RATER = np.array([0, 0, 1, 1, 2, 2], np.int32)
VALUE = np.array([1.0, -1.0, 1.0, 0.5, 1.0, -1.0])
LIE = np.array([0.1, 0.9, 0.2, 0.1, 0.9, 0.1])


def votes(value=VALUE):
    names = tuple("abcdef")
    table = EventTable.from_columns(
        raters=names[:3],
        responses=names,
        topics=("",),
        rater=RATER,
        response=np.arange(6, dtype=np.int32),
        topic=np.zeros(6, np.int32),
        value=value,
        p_lie=LIE,
        created_at_s=np.arange(6.0),
    )
    return Votes.of(table)


def cohort(p_biased, size=(1.0,), unseen=0.0):
    even = np.full(len(size), 1 / len(size))
    return Cohort(np.asarray(p_biased), np.asarray(size), even, unseen)


def contrast(who, value=VALUE, lie=LIE):
    return influence_of(votes(value), [Truth(1.0, lie, lie)], who, confidence=0.95)


def test_the_figures_are_the_weighted_means_with_and_without():
    found = contrast(cohort([0.0, 0.0, 1.0]))
    sft = found.sft_lie_share
    assert sft.with_cohort.estimate == pytest.approx((0.1 + 0.2 + 0.05 + 0.9) / 3.5)
    assert sft.without_cohort.estimate == pytest.approx((0.1 + 0.2 + 0.05) / 2.5)
    away = LIE - LIE.mean()
    assert found.kto_push.with_cohort.estimate == pytest.approx((VALUE * away).sum() / 5.5)
    assert found.kto_push.without_cohort.estimate == pytest.approx((VALUE * away)[:4].sum() / 3.5)
    assert found.kto_push.difference.estimate > 0


def test_doubt_about_membership_and_about_the_cohorts_size_widen_the_interval():
    def width(who):
        share = contrast(who).sft_lie_share.difference
        return share.upper - share.lower

    sure = width(cohort([0.0, 0.0, 1.0]))
    assert width(cohort([0.0, 0.0, 1.0], size=(0.1, 1.0, 1.9))) > sure
    assert width(cohort([0.0, 0.0, 1.0], unseen=0.5)) > sure
    assert width(cohort([0.1, 0.1, 0.9])) > sure


def test_known_truth_and_membership_leave_no_doubt():
    known = contrast(cohort([0.0, 0.0, 1.0]), lie=np.array([0.0, 1, 0, 0, 1, 0])).sft_lie_share
    for share in (known.with_cohort, known.without_cohort, known.difference):
        assert share.lower == pytest.approx(share.upper, abs=1e-6)


def test_without_likes_nothing_is_said():
    found = contrast(cohort([0.0, 0.0, 0.0]), value=-np.ones(6))
    assert found.sft_lie_share.with_cohort.estimate is None


def test_lies_among_likes_are_covered_and_are_not_the_mean_p_lie():
    """p_lie is right over all turns; liked ones lie less often than it says."""
    covered = below = 0
    for seed in range(5):
        drawn = simulate(population(0.1, raters=500), np.random.default_rng(700 + seed))
        events = drawn.events
        liked = events.value > 0
        lie = drawn.is_lie[events.response]
        truth = float(lie[liked].mean())
        kept = float(lie[liked & (drawn.behaviour[events.rater] != "biased")].mean())
        sft = estimate(events, options=CohortOptions()).influence.sft_lie_share
        covered += sft.with_cohort.lower <= truth <= sft.with_cohort.upper
        covered += sft.difference.lower <= truth - kept <= sft.difference.upper
        below += sft.with_cohort.estimate < float(events.p_lie[liked].mean())
    assert covered >= 9
    assert below == 5
