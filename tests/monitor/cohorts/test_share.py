from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, norm

from monitor.cohorts.share import log_evidence_of_excess, posterior_share


def test_a_single_point_gives_the_shortest_interval_of_its_beta():
    share = posterior_share(
        np.array([0.2]), np.array([0.2 * 0.8 / 101]), np.ones(1), confidence=0.9, n=100
    )
    law = beta(20, 80)
    assert share.estimate == pytest.approx(0.2)
    assert law.cdf(share.upper) - law.cdf(share.lower) == pytest.approx(0.9, abs=1e-6)
    assert share.upper - share.lower <= law.ppf(0.95) - law.ppf(0.05) + 1e-9


def test_where_there_may_be_nothing_the_interval_reaches_nothing():
    share = posterior_share(
        np.array([1e-4, 0.01]), np.array([1e-7, 1e-5]), np.array([0.6, 0.4]), confidence=0.95, n=9
    )
    assert share.lower == 0.0
    assert 0.01 < share.upper < 0.03


@pytest.mark.parametrize("mean", [0.05, 0.02])
def test_evidence_of_an_excess_is_an_e_process_for_a_running_mean(mean):
    """Ville: the chance of ever passing log 20 is at most 5 % at the limit, and less within it."""
    rng = np.random.default_rng(4)
    alarms = 0
    for _ in range(400):
        x = mean + 0.2 * rng.standard_normal(2000)
        looks = np.arange(100, 2001, 100)
        means = np.cumsum(x)[looks - 1] / looks
        evidence = [
            log_evidence_of_excess(float(m), float(0.2 / np.sqrt(n)), 0.05)
            for m, n in zip(means, looks, strict=True)
        ]
        alarms += max(evidence) >= np.log(20)
    assert alarms / 400 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)


def test_evidence_matches_numerical_integration():
    mean, sd, limit = 0.11, 0.02, 0.05
    excess = np.linspace(0, 1, 200_001)
    prior = 2 * norm.pdf(excess, scale=0.05)
    ratio = norm.pdf(mean, limit + excess, sd) / norm.pdf(mean, limit, sd)
    assert log_evidence_of_excess(mean, sd, limit) == pytest.approx(
        np.log(np.trapezoid(prior * ratio, excess)), abs=1e-3
    )
