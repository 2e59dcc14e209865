from __future__ import annotations

import numpy as np
import pytest

from monitor.cohorts.influence import influence_of

RATER = np.array([0, 0, 1, 1, 2, 2], np.int32)
VALUE = np.array([1.0, -1.0, 1.0, 0.5, 1.0, -1.0])
P_LIE = np.array([0.1, 0.9, 0.2, 0.1, 0.9, 0.1])


def test_the_figures_are_the_weighted_means_with_and_without():
    found = influence_of(RATER, VALUE, P_LIE, np.array([0.0, 0.0, 1.0]), confidence=0.95)
    sft = found.sft_lie_share
    assert sft.with_cohort.estimate == pytest.approx((0.1 + 0.2 + 0.05 + 0.9) / 3.5)
    assert sft.without_cohort.estimate == pytest.approx((0.1 + 0.2 + 0.05) / 2.5)
    away = P_LIE - P_LIE.mean()
    assert found.kto_push.with_cohort.estimate == pytest.approx((VALUE * away).sum() / 5.5)
    assert found.kto_push.without_cohort.estimate == pytest.approx((VALUE * away)[:4].sum() / 3.5)
    assert found.kto_push.difference.estimate > 0


def test_the_interval_is_that_of_a_bootstrap_over_raters():
    rng = np.random.default_rng(0)
    rater = np.repeat(np.arange(200), 5).astype(np.int32)
    biased = (np.arange(200) < 30).astype(float)
    p_lie = rng.random(1000)
    up = np.where(biased[rater] == 1, p_lie, 1 - p_lie) > rng.random(1000)
    value = np.where(up, 1.0, -1.0)
    found = influence_of(rater, value, p_lie, biased, confidence=0.95).sft_lie_share.difference
    draws = []
    for _ in range(400):
        times = np.bincount(rng.integers(200, size=200), minlength=200)[rater]
        liked = times * (value > 0)
        kept = liked * (1 - biased[rater])
        draws.append((liked @ p_lie) / liked.sum() - (kept @ p_lie) / kept.sum())
    assert found.upper - found.lower == pytest.approx(2 * 1.96 * np.std(draws), rel=0.15)
    assert found.lower > 0


def test_doubt_about_membership_widens_the_interval():
    rng = np.random.default_rng(1)
    rater = np.repeat(np.arange(50), 4).astype(np.int32)
    p_lie, value = rng.random(200), np.ones(200)
    sure = influence_of(rater, value, p_lie, np.zeros(50), confidence=0.95)
    unsure = influence_of(rater, value, p_lie, np.full(50, 0.5), confidence=0.95)
    assert (
        unsure.sft_lie_share.difference.upper - unsure.sft_lie_share.difference.lower
        > sure.sft_lie_share.difference.upper - sure.sft_lie_share.difference.lower
    )


def test_without_likes_nothing_is_said():
    found = influence_of(RATER, -np.ones(6), P_LIE, np.zeros(3), confidence=0.95)
    assert found.sft_lie_share.with_cohort.estimate is None
