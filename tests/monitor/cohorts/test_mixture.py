from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import beta

from monitor.cohorts import mixture, plane
from monitor.cohorts.classify import classify
from monitor.cohorts.population import (
    BENIGN,
    BIASED,
    activity_bin,
    side_of_margin,
)
from monitor.cohorts.simulate import simulate
from monitor.cohorts.votes import Votes
from tests.monitor.cohorts.populations import population


def counts_of(events):
    votes = Votes.of(events)
    order = np.argsort(events.rater, kind="stable")
    level = plane.level_of(plane.logit(events.p_lie[order]))
    return votes.counts(level, np.ones(len(events), bool))


def data_of(scenario, seed=0):
    events = simulate(scenario, np.random.default_rng(seed)).events
    n_events = np.bincount(events.rater, minlength=len(events.raters))
    scaled = plane.cell_likelihoods(counts_of(events))
    return mixture.Data.of(scaled, activity_bin(n_events), margin=0.1), events


def test_cell_likelihoods_equal_the_product_over_events_written_out():
    events = simulate(population(0.1, raters=12, separation=1.5), np.random.default_rng(2)).events
    fast = plane.cell_likelihoods(counts_of(events))
    for rater in range(12):
        rows = np.flatnonzero(events.rater == rater)
        slow = np.ones(plane.CELLS)
        for i in rows:
            q = plane.LEVELS[plane.level_of(plane.logit(events.p_lie[i : i + 1]))[0]]
            rate = (1 - q) * plane.UP_ON_HONEST + q * plane.UP_ON_LIES
            slow *= rate if events.value[i] > 0 else 1 - rate
        slow /= slow.max()
        visible = slow > 1e-15
        assert np.allclose(fast[rater][visible], slow[visible], rtol=1e-3)


def test_a_rating_between_counts_as_part_of_an_up_and_of_a_down():
    events = simulate(population(raters=2), np.random.default_rng(0)).events
    events = dataclasses.replace(events, value=np.full(len(events), 0.5))
    votes = Votes.of(events)
    use = np.ones(len(events), bool)
    use[0] = False
    row = votes.counts(np.full(len(events), 16, np.int8), use).toarray().sum(axis=0)
    assert row[16] == pytest.approx(0.75 * (len(events) - 1))
    assert row[16 + len(plane.LEVELS)] == pytest.approx(0.25 * (len(events) - 1))


@pytest.mark.parametrize(("mean", "concentration"), [(0.3, 8.0), (0.9, 40.0)])
def test_axis_masses_are_those_of_the_beta(mean, concentration):
    mass = plane.beta_weights(np.array(mean), np.array(concentration))
    assert mass.sum() == pytest.approx(1.0)
    law = beta(mean * concentration, (1 - mean) * concentration)
    middle = (plane.THETA[8:10].mean(), plane.THETA[7:9].mean())
    assert mass[8] == pytest.approx(law.cdf(middle[0]) - law.cdf(middle[1]), abs=1e-9)


def test_the_gradient_is_that_of_the_objective():
    data, _ = data_of(population(0.1, raters=200))
    data = dataclasses.replace(data, sides=tuple(s.astype(np.float64) for s in data.sides))
    vector = mixture.initial() + 0.1 * np.sin(np.arange(29))
    _, gradient = mixture._objective(data, vector)
    for i in range(len(vector)):
        step = np.zeros(len(vector))
        step[i] = 1e-2
        up, down = (
            mixture._objective(data, vector + step)[0],
            mixture._objective(data, vector - step)[0],
        )
        assert gradient[i] == pytest.approx((up - down) / 2e-2, rel=0.05, abs=0.15)


def test_holding_the_share_holds_it_and_costs_likelihood():
    data, _ = data_of(population(0.1, raters=500))
    best, value = mixture.fit(data, mixture.initial(), iterations=60)
    held, lower = mixture.fit_at(data, best, 0.3, iterations=30)
    shares = data.bin_weight @ mixture.population_of(held, data.activity).shares
    assert shares[BIASED] == pytest.approx(0.3, abs=1e-6)
    # The prior of the odds moves too, but by far less than the data do.
    assert lower < value - 5


def test_behaviours_nobody_told_it_are_recovered():
    data, _ = data_of(population(0.1, raters=4000, separation=3.0), seed=1)
    vector, _ = mixture.fit(data, mixture.initial(), iterations=80)
    fitted = mixture.population_of(vector, data.activity)
    assert fitted.mean[BENIGN] == pytest.approx([0.8, 0.25], abs=0.04)
    assert fitted.mean[BIASED] == pytest.approx([0.4, 0.9], abs=0.06)
    assert data.bin_weight @ fitted.shares == pytest.approx([0.6, 0.1, 0.3], abs=0.03)


def test_classes_keep_to_their_side_of_the_margin():
    fitted = mixture.population_of(mixture.initial(), np.zeros(9))
    cells = fitted.cell_weights(0.1)
    assert cells.sum(axis=0) == pytest.approx([1, 1, 1])
    assert cells[~side_of_margin(BIASED, 0.1), BIASED].sum() == 0
    assert cells[side_of_margin(BIASED, 0.1)][:, [BENIGN, 2]].sum() == 0


def test_posteriors_are_bayes_rule_over_the_cells():
    data, events = data_of(population(0.1, raters=30))
    vector, _ = mixture.fit(data, mixture.initial(), iterations=20)
    profile = mixture.profile(data, vector)
    found = classify(counts_of(events), data.bins, profile, np.ones(30), margin=0.1)
    scaled = plane.cell_likelihoods(counts_of(events))
    for i in range(30):
        slow = 0.0
        for point, weight in zip(profile.populations, profile.weight, strict=True):
            cells = point.cell_weights(0.1)
            joint = [
                point.shares[data.bins[i], k]
                * math.fsum(float(scaled[i, c]) * cells[c, k] for c in range(plane.CELLS))
                for k in range(3)
            ]
            slow += weight * joint[BIASED] / sum(joint)
        assert found.p_biased[i] == pytest.approx(slow, abs=3e-3)


def test_busy_raters_may_be_biased_more_often():
    scenario = population(0.1, raters=3000)
    busy = {**scenario.behaviours, "biased": type(scenario.behaviours["biased"])(0.4, 0.9, 4.0)}
    data, _ = data_of(population(0.1, raters=3000, behaviours=busy))
    vector, _ = mixture.fit(data, mixture.initial(), iterations=80)
    slope = vector[mixture._SLOPES][0]
    assert slope > 0.2
    assert expit(vector[8]) < 0.15
