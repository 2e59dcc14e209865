from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cohort_bursts import BURSTS, one_burst


@pytest.mark.parametrize("event", ["outage", "school classes", "feature launch"])
def test_nobody_is_named_where_many_act_together_for_no_lie(event):
    assert one_burst(event, 0, raters=800)["named"] == 0


@pytest.mark.parametrize("event", ["30 sybils, 2 lies", "20 sybils, 8 of 12 lies, slowly"])
def test_a_campaign_for_lies_is_named(event):
    found = one_burst(event, 1, raters=800)
    assert found["right"] >= 0.9 * found["together"]
    assert found["named"] <= 1.1 * found["together"]


def test_the_simulated_events_are_what_they_say():
    from benchmarks.cohort_coverage import population  # noqa: PLC0415
    from monitor.cohorts.simulate import simulate  # noqa: PLC0415

    drawn = simulate(population(0.0, raters=500), np.random.default_rng(0))
    _, what, value, at = BURSTS["40 sybils, 1 lie"](drawn, np.random.default_rng(0))
    assert drawn.is_lie[what].all()
    assert (value == 1).all()
    assert np.ptp(at) <= 1800
