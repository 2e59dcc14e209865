"""The benchmark of alarms: its nulls are what they say, its months stay quiet where the claim covers them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.alarm_months import NULLS, poisson, spells, weekends, year_of
from benchmarks.alarms import RUN_LENGTH, cell_of, distance, draw, oracle
from monitor.detect.options import DetectionOptions


def test_every_null_has_a_mix_within_reason() -> None:
    at_s = np.linspace(0.0, 360 * 86_400.0, 40_000)
    for shares, _ in NULLS.values():
        mix = shares(np.random.default_rng(1), at_s)
        assert ((mix >= 0.0) & (mix <= 1.0)).all()
        assert mix.mean() == pytest.approx(0.2, abs=0.02)


def test_spells_last_and_weekends_are_weekends() -> None:
    on = spells(np.random.default_rng(2), np.zeros(20_000))
    assert 20_000 * on.mean() / (np.diff(on) > 0).sum() == pytest.approx(20.0, rel=0.15)
    friday, saturday = np.array([4.9 * 86_400.0]), np.array([5.1 * 86_400.0])
    assert weekends(np.random.default_rng(3), friday) < weekends(np.random.default_rng(3), saturday)


def test_cells_of_the_simulation_are_quarters_and_weekends() -> None:
    assert [cell_of(i) for i in (0, 249, 250, 999, 1_000, 5_000, 6_999, 7_000)] == [
        *(0, 0, 1, 3, 0, 4, 7, 0)
    ]


def test_the_oracle_is_calibrated_and_quick() -> None:
    assert RUN_LENGTH == 1_200_000
    rng = np.random.default_rng(4)
    p_lie, ratio = draw(rng, (40, 600), 0.2, distance(0.9))
    assert ((p_lie > 0) & (p_lie < 1)).all()
    assert 60 < np.median(oracle(ratio, 0.02, 0.2)) < 250


def test_poisson_intervals_are_garwoods() -> None:
    assert poisson(0) == pytest.approx((0.0, 3.689), abs=0.01)
    assert poisson(6) == pytest.approx((2.202, 13.06), abs=0.02)


def test_a_weekend_mix_is_quiet_for_the_ranked_metrics() -> None:
    """Three months of two thousand responses; the rate allows an alarm in ten months."""
    options = DetectionOptions(responses_per_month=2_000.0, reference_window=50)
    alarms = year_of(np.random.default_rng(5), weekends, options=options, n_months=3, a_month=2_000)
    assert alarms["lie"] + alarms["evasion"] <= 1
