from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from monitor.cohorts.coordination import find_groups
from monitor.cohorts.simulate import Campaign, simulate
from tests.monitor.cohorts.populations import population


def groups_of(scenario, seed):
    drawn = simulate(scenario, np.random.default_rng(seed))
    return drawn, find_groups(drawn.events, min_group=5, burst_s=3600.0, error=0.01)


def precision_and_recall(drawn, groups):
    named = set().union(*(g.raters for g in groups)) if groups else set()
    sybils = {n for n, b in zip(drawn.events.raters, drawn.behaviour, strict=True) if b == "sybil"}
    hits = len(named & sybils)
    return hits / max(len(named), 1), hits / len(sybils)


@pytest.mark.parametrize(
    "campaign",
    [
        Campaign(raters=30, acts=2, targets=2),
        Campaign(raters=30, acts=2, targets=3),
        Campaign(raters=30, acts=2, targets=4),
        Campaign(raters=20, acts=8, targets=12, slow=True),
    ],
)
def test_a_campaign_of_sparse_raters_is_found_as_a_group(campaign):
    drawn, groups = groups_of(population(raters=5000, campaigns=(campaign,)), 1)
    precision, recall = precision_and_recall(drawn, groups)
    assert precision > 0.9
    assert recall > 0.9
    assert all(g.direction == "up" for g in groups)


def test_popular_bursts_of_independent_raters_are_no_group():
    scenario = population(0.1, raters=2000, popularity_sigma=2.0, votes_per_response=10.0)
    drawn, groups = groups_of(scenario, 2)
    popular = np.bincount(drawn.events.response).max()
    assert popular > 300
    assert groups == ()


def test_raters_in_sessions_are_no_group():
    """Everyone who is there within the hour rates the same few items: popularity, not a plot."""
    drawn = simulate(population(raters=1500), np.random.default_rng(3))
    events = drawn.events
    hour = np.floor(events.created_at_s / 3600)
    rng = np.random.default_rng(4)
    shared = rng.random(len(events)) < 0.5
    response = np.where(
        shared, (hour.astype(int) % 40) * 2 + rng.integers(2, size=len(events)), events.response
    )
    session = events.rater % 200
    at = np.sort(session * 3600.0 + rng.random(len(events)) * 3600)
    table = dataclasses.replace(events, response=response.astype(np.int32), created_at_s=at)
    assert find_groups(table, min_group=5, burst_s=3600.0, error=0.01) == ()


def test_names_and_numbers_do_not_depend_on_the_order_of_rows():
    scenario = population(raters=1000, campaigns=(Campaign(),))
    drawn, groups = groups_of(scenario, 5)
    again = find_groups(drawn.events, min_group=5, burst_s=3600.0, error=0.01)
    assert groups == again
    assert groups[0].observed >= 25
    assert groups[0].expected < 5
    assert groups[0].log10_p < -2


def test_no_feedback_no_group():
    drawn = simulate(population(raters=5), np.random.default_rng(0))
    none = drawn.events.select(np.zeros(len(drawn.events), bool))
    assert find_groups(none, min_group=5, burst_s=3600.0, error=0.01) == ()
