"""Intervals: coverage by simulation, edges, and the betting bound beside its slow definition."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from evidence.confidence import (
    Interval,
    clopper_pearson,
    confidence_sequence,
    lower_bound,
    mean_interval,
    upper_bound,
    wilson,
)
from evidence.errors import BadInputError


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 0.9])
def test_wilson_covers_on_average(rate: float) -> None:
    """Coverage computed exactly, averaged over neighbouring rates (it oscillates with the rate)."""
    n = 60
    coverage = []
    for p in np.linspace(max(0.01, rate - 0.02), min(0.99, rate + 0.02), 21):
        hits = [wilson(k, n).lower <= p <= wilson(k, n).upper for k in range(n + 1)]
        coverage.append(float(np.sum(binom.pmf(np.arange(n + 1), n, p) * hits)))
    assert 0.93 <= np.mean(coverage) <= 0.98


def test_wilson_known_value_and_edges() -> None:
    known = wilson(8, 10)
    assert known.lower == pytest.approx(0.4901625, abs=1e-6)
    assert known.upper == pytest.approx(0.9433178, abs=1e-6)
    assert (wilson(0, 0).lower, wilson(0, 0).upper) == (0.0, 1.0)
    assert wilson(0, 5).lower == 0.0
    assert wilson(0, 5).upper < 1.0
    assert wilson(5, 5).upper == 1.0
    assert wilson(2.5, 4.2).lower < 2.5 / 4.2 < wilson(2.5, 4.2).upper


@pytest.mark.parametrize(("successes", "n"), [(-1, 3), (4, 3), (math.nan, 3)])
def test_wilson_refuses(successes: float, n: float) -> None:
    with pytest.raises(BadInputError):
        wilson(successes, n)


@pytest.mark.parametrize(("a", "b"), [(0.02, 0.18), (2.0, 18.0), (0.3, 0.3)])
def test_learned_bound_lies_below_the_mean_at_most_as_often_as_promised(a: float, b: float) -> None:
    rng = np.random.default_rng(31)
    runs, error = 400, 0.1
    below = np.mean([upper_bound(rng.beta(a, b, 100), error) < a / (a + b) for _ in range(runs)])
    assert below <= error + 2 * math.sqrt(error * (1 - error) / runs)


def test_learned_bound_is_useful() -> None:
    rng = np.random.default_rng(32)
    rare = np.mean([upper_bound((rng.random(200) < 0.1).astype(float)) for _ in range(30)])
    steady = np.mean([upper_bound(rng.beta(20, 180, 200)) for _ in range(30)])
    assert rare < 0.17
    assert steady < 0.125


def test_bound_is_where_the_capital_reaches_its_limit() -> None:
    """Slow reference: scan means for the largest that is not rejected."""
    rng = np.random.default_rng(33)
    x = rng.beta(0.5, 3.0, 40)
    seen_sum, seen_square, bets = 0.5, 0.25, []
    for t, value in enumerate(x, 1):
        bets.append(math.sqrt(2 * math.log(20) / (len(x) * seen_square / t)))
        seen_sum += value
        seen_square += (value - seen_sum / (t + 1)) ** 2
    largest = 0.0
    for m in np.linspace(x.mean(), 1, 20_001):
        wealth, best = 0.0, -math.inf
        for value, bet in zip(x, bets, strict=True):
            wealth += math.log1p(min(bet, 0.9 / max(1 - m, 1e-12)) * (m - value))
            best = max(best, wealth)
        if best < math.log(20):
            largest = m
    assert upper_bound(x) == pytest.approx(largest, abs=1e-4)


def test_bounds_mirror_each_other_and_hold_the_mean() -> None:
    x = np.random.default_rng(34).beta(1, 4, 80)
    assert lower_bound(x) == pytest.approx(1 - upper_bound(1 - x))
    both = mean_interval(x)
    assert both.lower < x.mean() < both.upper
    assert (mean_interval([]).lower, mean_interval([]).upper) == (0.0, 1.0)
    assert upper_bound([1.0] * 50) == pytest.approx(1.0)
    assert 0.0 < upper_bound([0.0] * 200) < 0.03


def test_sequence_holds_at_all_times_at_once() -> None:
    rng = np.random.default_rng(35)
    runs, error, missed = 300, 0.1, 0
    for _ in range(runs):
        lower, upper = confidence_sequence(rng.beta(0.3, 1.2, 400), error)
        missed += bool(np.any(lower > 0.2) or np.any(upper < 0.2))
    assert missed / runs <= error
    assert np.all(np.diff(lower) >= 0)
    assert np.all(np.diff(upper) <= 0)
    assert upper[-1] - lower[-1] < 0.2


@pytest.mark.parametrize("scores", [[0.2, 1.1], [[0.1]], [math.nan]])
def test_scores_outside_the_unit_interval_are_refused(scores: list[float]) -> None:
    for call in (upper_bound, lower_bound, mean_interval, confidence_sequence):
        with pytest.raises(BadInputError):
            call(scores)


@pytest.mark.parametrize("error", [0.0, 1.0, math.nan])
def test_impossible_errors_are_refused(error: float) -> None:
    with pytest.raises(BadInputError):
        upper_bound([0.1], error)
    with pytest.raises(BadInputError):
        wilson(1, 2, error)


@pytest.mark.parametrize(("rate", "n"), [(0.01, 50), (0.1, 20), (0.5, 7)])
def test_clopper_pearson_covers_at_every_count(rate: float, n: int) -> None:
    chances = binom.pmf(np.arange(n + 1), n, rate)
    found = [clopper_pearson(k, n) for k in range(n + 1)]
    covered = [one.lower <= rate <= one.upper for one in found]
    assert float(np.sum(chances * covered)) >= 0.95
    assert clopper_pearson(0, 0) == Interval(0.0, 1.0)
    assert clopper_pearson(0, n).lower == 0.0
    assert clopper_pearson(n, n).upper == 1.0
    with pytest.raises(BadInputError):
        clopper_pearson(n + 1, n)
