from __future__ import annotations

import numpy as np
import pytest

from probes.calibration import (
    calibration_error,
    fit_platt,
    logit,
    reliability,
    shift_prevalence,
    sigmoid,
    threshold,
)


def test_platt_finds_the_slope_and_intercept_that_made_the_labels() -> None:
    rng = np.random.default_rng(1)
    score = rng.normal(size=20_000)
    label = rng.random(20_000) < 1 / (1 + np.exp(-(1.7 * score - 0.4)))
    found = fit_platt(score, label)
    assert found.slope == pytest.approx(1.7, abs=0.1)
    assert found.intercept == pytest.approx(-0.4, abs=0.1)


def test_platt_stays_finite_where_scores_separate_the_classes() -> None:
    found = fit_platt([-2, -1, 1, 2], [0, 0, 1, 1])
    assert 0 < found.slope < 20
    assert 0.5 < found(1.0) < 1.0


def test_a_calibrated_score_has_no_error_and_a_shifted_one_its_shift() -> None:
    rng = np.random.default_rng(2)
    p = rng.uniform(0.1, 0.8, 4000)
    label = rng.random(4000) < p
    good = calibration_error(p, label, rng=rng, draws=50)
    bad = calibration_error(p + 0.15, label, rng=rng, draws=50)
    assert good.estimate < 0.02
    assert bad.estimate == pytest.approx(0.15, abs=0.03)
    assert bad.lower <= bad.estimate <= bad.upper
    assert good.n == 4000


def test_the_debiased_error_is_near_zero_on_average_where_the_plain_one_is_not() -> None:
    rng = np.random.default_rng(3)
    squares = []
    for _ in range(200):
        label = rng.random(200) < 0.5
        squares.append(calibration_error(np.full(200, 0.5), label, rng=rng, draws=2).estimate ** 2)
    plain = 10 * 0.25 / 200
    assert np.mean(squares) < 0.6 * plain


def test_reliability_counts_everything_once() -> None:
    rows = reliability(np.linspace(0, 1, 103), np.zeros(103))
    assert sum(n for _, _, n in rows) == 103
    assert [score for score, _, _ in rows] == sorted(score for score, _, _ in rows)


def test_prevalence_shift_is_undone_by_its_inverse() -> None:
    p = shift_prevalence(0.7, 0.5, 0.05)
    assert p < 0.7
    assert shift_prevalence(p, 0.05, 0.5) == pytest.approx(0.7)


def test_logit_and_sigmoid_at_the_ends() -> None:
    assert sigmoid(-1e6) == 0.0
    assert sigmoid(1e6) == 1.0
    assert sigmoid(logit(0.3)) == pytest.approx(0.3)
    assert logit(0.0) == pytest.approx(-logit(1.0))
    assert threshold(1, 3) == 0.25
