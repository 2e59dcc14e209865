from __future__ import annotations

import numpy as np
import pytest

from monitor.cohorts.suspects import choose_suspects


def test_the_list_is_the_longest_whose_mean_doubt_keeps_the_bound():
    p = np.array([0.99, 0.97, 0.9, 0.8, 0.6, 0.2])
    found = choose_suspects(p, np.ones(6, bool), np.ones(6), 0.10)
    assert found.listed.tolist() == [True, True, True, True, False, False]
    assert found.expected_false == pytest.approx(0.01 + 0.03 + 0.1 + 0.2)
    lost = (0.01 + 0.03 + 0.1 + 0.2) / (0.01 + 0.03 + 0.1 + 0.2 + 0.4 + 0.8)
    assert found.benign_liked_lost == pytest.approx(lost)


def test_the_unidentified_are_never_listed():
    found = choose_suspects(np.array([1.0, 1.0]), np.array([False, True]), np.ones(2), 0.10)
    assert found.listed.tolist() == [False, True]


def test_nobody_is_listed_who_is_likelier_not_biased():
    found = choose_suspects(np.array([0.49]), np.ones(1, bool), np.ones(1), 0.9)
    assert not found.listed.any()


def test_calibrated_posteriors_keep_the_expected_false_share():
    rng = np.random.default_rng(0)
    false, listed = 0, 0
    for _ in range(300):
        p = rng.beta(0.3, 1.2, size=300)
        biased = rng.random(300) < p
        found = choose_suspects(p, np.ones(300, bool), np.ones(300), 0.10)
        false += int((found.listed & ~biased).sum())
        listed += int(found.listed.sum())
    assert listed > 3000
    assert false / listed == pytest.approx(0.10, abs=0.012)
