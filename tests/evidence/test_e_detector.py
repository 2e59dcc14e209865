"""The e-detector: run length under five nulls, delay beside an oracle, two-phase data, the bank."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.detector_bank import EDetectorBank
from evidence.e_detector import EDetector
from evidence.e_process import bet_grid, largest_bet
from evidence.errors import BadInputError

Floats = NDArray[np.float64]
RUNS, LENGTH, RUN_LENGTH = 500, 1_000, 2_500


def bernoulli(rng: np.random.Generator) -> Floats:
    return (rng.random((RUNS, LENGTH)) < 0.1).astype(float)


def beta(rng: np.random.Generator) -> Floats:
    return rng.beta(0.5, 4.5, (RUNS, LENGTH))


def dependent(rng: np.random.Generator) -> Floats:
    """Bursts: after a high score the next ones vary tenfold more, with the same conditional mean."""
    made = np.empty((RUNS, LENGTH))
    spread = np.zeros(RUNS, dtype=bool)
    for t in range(LENGTH):
        wide = (rng.random(RUNS) < 0.1).astype(float)
        narrow = rng.beta(2.0, 18.0, RUNS)
        made[:, t] = np.where(spread, wide, narrow)
        spread = np.where(spread, rng.random(RUNS) < 0.95, made[:, t] > 0.2)
    return made


def drifting_variance(rng: np.random.Generator) -> Floats:
    concentration = np.geomspace(0.2, 50.0, LENGTH)
    return rng.beta(0.1 * concentration, 0.9 * concentration, (RUNS, LENGTH))


@pytest.mark.parametrize("null", [bernoulli, beta, dependent, drifting_variance])
def test_null_alarms_within_t_over_run_length(null: Callable[..., Floats]) -> None:
    bank = EDetectorBank(np.full(RUNS, 0.1), RUN_LENGTH)
    bank.update(null(np.random.default_rng(21)))
    _assert_within(bank.alarm_at)


@pytest.mark.parametrize("cheap_limit", [0.0, 1.0])
def test_null_of_two_phase_data(cheap_limit: float) -> None:
    """The second phase scores the doubtful: propensities depend on the cheap score."""
    rng = np.random.default_rng(22)
    truth = (rng.random((RUNS, LENGTH)) < 0.1).astype(float)
    cheap = np.clip(truth * 0.5 + rng.beta(1, 6, truth.shape), 0, 1)
    chance = np.clip(cheap * 1.5, 0.2, 1.0)
    scores = np.where(rng.random(truth.shape) < chance, truth, np.nan)
    bank = EDetectorBank(
        np.full(RUNS, 0.1), RUN_LENGTH, min_propensity=0.2, cheap_limit=cheap_limit
    )
    bank.update(scores, chance, cheap if cheap_limit else None)
    _assert_within(bank.alarm_at)


def _assert_within(alarm_at: NDArray[np.int64]) -> None:
    """P(alarm by t) <= t / ARL up to 2.5 Monte-Carlo errors, at several t."""
    for t in (200, 500, LENGTH):
        share = np.mean((alarm_at > 0) & (alarm_at <= t))
        limit = t / RUN_LENGTH
        assert share <= limit + 2.5 * math.sqrt(limit * (1 - limit) / RUNS)


@pytest.mark.parametrize("rate", [0.325, 0.19])
def test_delay_is_close_to_an_oracle_that_knows_both_rates(rate: float) -> None:
    rng = np.random.default_rng(23)
    runs, before, after = 400, 500, 1_000
    scores = (rng.random((runs, before + after)) < 0.1).astype(float)
    scores[:, before:] = rng.random((runs, after)) < rate
    bank = EDetectorBank(np.full(runs, 0.1), 10_000)
    bank.update(scores)
    oracle = _oracle(scores, 0.1, rate, 10_000)
    both = (bank.alarm_at > before) & (oracle > before)
    assert both.mean() > 0.9
    assert np.mean(bank.alarm_at[both] - before) <= 1.18 * np.mean(oracle[both] - before)


def _oracle(scores: Floats, p0: float, p1: float, threshold: float) -> NDArray[np.int64]:
    statistic = np.zeros(len(scores))
    alarm_at = np.full(len(scores), -1)
    for t, column in enumerate(scores.T, 1):
        ratio = np.where(column > 0, p1 / p0, (1 - p1) / (1 - p0))
        statistic = (statistic + 1) * ratio
        alarm_at[(statistic >= threshold) & (alarm_at < 0)] = t
    return alarm_at


def test_bank_does_what_single_detectors_do() -> None:
    rng = np.random.default_rng(24)
    references = np.array([0.05, 0.1, 0.3, 0.1])
    scores = rng.beta(0.4, 1.2, (4, 300))
    scores[rng.random(scores.shape) < 0.2] = np.nan
    chance = rng.uniform(0.3, 1.0, scores.shape)
    cheap = rng.random(scores.shape)
    cheap[:, ::3] = np.nan
    settings = {"min_propensity": 0.3, "cheap_limit": 0.6}
    bank = EDetectorBank(references, 5_000, 0.02, **settings)
    bank.update(scores, chance, cheap)
    for row, reference in enumerate(references):
        single = EDetector(reference, 5_000, 0.02, **settings)
        alarm_at = -1
        for x, p, f in zip(scores[row], chance[row], cheap[row], strict=True):
            if single.update(None if np.isnan(x) else x, p, None if np.isnan(f) else f):
                alarm_at = single.n if alarm_at < 0 else alarm_at
        assert bank.n[row] == single.n
        assert bank.alarm_at[row] == alarm_at
        assert bank.log_evidence[row] == pytest.approx(single.log_evidence, rel=1e-12)


def test_interleaved_log_equals_a_table() -> None:
    rng = np.random.default_rng(25)
    table = rng.beta(0.4, 2.0, (30, 40))
    by_table, by_log = EDetectorBank(np.full(30, 0.1)), EDetectorBank(np.full(30, 0.1))
    by_table.update(table)
    keys = np.sort(rng.random((30, 40)), axis=1).ravel()  # keeps the order within each row
    order = np.argsort(keys, kind="stable")
    by_log.update_log(np.repeat(np.arange(30), 40)[order], table.ravel()[order])
    np.testing.assert_array_equal(by_log.log_evidence, by_table.log_evidence)
    np.testing.assert_array_equal(by_log.alarm_at, by_table.alarm_at)


def test_statistic_equals_the_plain_definition() -> None:
    """sum over bets and start times of products of factors, written out."""
    rng = np.random.default_rng(26)
    scores = rng.beta(0.5, 3.0, 25)
    detector = EDetector(0.1, 1_000)
    for score in scores:
        detector.update(score)
    grid = bet_grid(0.1, horizon=1_000)
    total = 0.0
    for bet, weight in zip(grid.bets, np.exp(grid.log_weights), strict=True):
        factors = 1 + bet * (scores - 0.1)
        total += weight * sum(np.prod(factors[start:]) for start in range(len(scores)))
    assert detector.log_evidence == pytest.approx(math.log(total), rel=1e-12)


@pytest.mark.parametrize(
    ("minimum", "limit"), [(1.0, 1.0), (0.5, 0.0), (0.1, 0.0), (0.1, 1.0), (0.3, 0.4)]
)
def test_no_admissible_item_makes_a_factor_negative(minimum: float, limit: float) -> None:
    grid = bet_grid(0.12, horizon=10_000, min_propensity=minimum, cheap_limit=limit)
    worst = math.inf
    for score in (None, 0.0, 0.5, 1.0):
        for chance in np.linspace(minimum, 1, 7):
            cheaps = (None,) if limit == 0.0 else (None, 0.0, 0.2, limit, 1.0)
            for cheap in cheaps:
                excess = grid.excess(score, chance, cheap)
                worst = min(worst, math.inf if excess is None else excess)
    assert np.all(1 + grid.bets * worst > 0)
    assert -1 / worst >= largest_bet(0.12, minimum, limit) * (1 - 1e-12)


def test_weighting_by_propensity_is_unbiased_and_plain_averaging_is_not() -> None:
    """Why propensities matter: the second phase prefers lies, so its plain mean is far too high."""
    rng = np.random.default_rng(27)
    n = 20_000
    truth = (rng.random(n) < 0.1).astype(float)
    cheap = np.clip(0.6 * truth + rng.beta(1, 5, n), 0, 1)
    chance = np.clip(cheap, 0.1, 1.0)
    seen = rng.random(n) < chance
    grid = bet_grid(0.1, horizon=10_000, min_propensity=0.1)
    values = [grid.excess(truth[i] if seen[i] else None, chance[i], cheap[i]) for i in range(n)]
    centre = np.array([v for v in values if v is not None])
    assert abs(centre.mean()) < 3 * centre.std() / math.sqrt(n)
    assert truth[seen].mean() > 0.2


def test_tolerance_is_no_alarm() -> None:
    rng = np.random.default_rng(28)
    scores = (rng.random((200, 1_500)) < 0.15).astype(float)
    strict, tolerant = (
        EDetectorBank(np.full(200, 0.1)),
        EDetectorBank(np.full(200, 0.1), 10_000, 0.05),
    )
    assert strict.update(scores).mean() > 0.8
    assert tolerant.update(scores).mean() < 0.2


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"reference": 0.0}, "must lie in"),
        ({"reference": 0.9, "tolerance": 0.1}, "must lie in"),
        ({"reference": math.nan}, "must lie in"),
        ({"reference": 0.1, "average_run_length": 1.0}, "run length"),
        ({"reference": 0.1, "average_run_length": math.inf}, "run length"),
        ({"reference": 0.1, "min_propensity": 0.0}, "propensity"),
        ({"reference": 0.1, "cheap_limit": 1.5}, "cheap"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict[str, float], what: str) -> None:
    with pytest.raises(BadInputError, match=what):
        EDetector(**arguments)


def test_bank_refuses_what_a_detector_refuses() -> None:
    bank = EDetectorBank(np.full(3, 0.1))
    with pytest.raises(BadInputError, match="score"):
        bank.update(np.array([0.1, 1.2, 0.3]))
    with pytest.raises(BadInputError, match="propensity"):
        bank.update(np.full(3, 0.1), np.full(3, 0.5))
    with pytest.raises(BadInputError, match="score"):
        bank.update_log(np.array([0, 1]), np.array([0.1, np.nan]))
    assert bank.n.sum() == 0
