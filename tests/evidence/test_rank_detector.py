"""The detector on ranks: exact null means, run length under exchangeable scores, cells, restarts, delay."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.rank_bank import RankBank
from evidence.errors import BadInputError
from evidence.rank_bets import CELLS, rank_bets
from evidence.rank_detector import RankDetector, RankState, bin_of, past_of, score_in, tie_of

Floats = NDArray[np.float64]


def test_every_bet_is_fair_to_the_last_digit() -> None:
    factors = np.exp(rank_bets().log_factors)
    assert factors.shape == (CELLS, len(rank_bets().log_weights))
    assert factors.min() > 0.0
    assert factors.mean(axis=0) == pytest.approx(1.0, abs=1e-12)
    assert np.exp(rank_bets().log_weights).sum() == pytest.approx(1.0)


def test_a_higher_rank_never_pays_less() -> None:
    assert (np.diff(rank_bets().log_factors, axis=0) <= 1e-12).all()


@given(st.floats(0, 1), st.floats(0, 1))
def test_bins_keep_the_order_of_scores(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert -64 <= bin_of(low) <= bin_of(high) <= 63
    assert bin_of(score_in(bin_of(a))) == bin_of(a)
    assert (bin_of(a) >= 0) == (a >= 0.5)


def test_ranks_of_exchangeable_scores_are_uniform_and_independent() -> None:
    """Ties and all: scores take eleven values only."""
    rng = np.random.default_rng(5)
    ranks = []
    for _ in range(150):
        detector = RankDetector()
        for i, score in enumerate(rng.integers(0, 11, 40) / 10.0):
            tie = float(rng.random())
            ranks.append(detector._rank(bin_of(score), "", tie))
            detector.update(float(score), tie=tie)
            assert detector.n == i + 1
    found = np.array(ranks)
    counts = np.histogram(found, bins=10, range=(0, 1))[0]
    assert np.abs(counts - 600).max() < 4 * math.sqrt(600 * 0.9)
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 4 / math.sqrt(len(found))


NULLS = {
    "binormal": lambda rng, n: 1.0 / (1.0 + np.exp(-rng.normal(-0.6, 1.1, n))),
    "0 or 1": lambda rng, n: (rng.random(n) < 0.05).astype(float),
    # Exchangeable, not independent: each run has a mean of its own that nobody knows.
    "unknown mean": lambda rng, n: rng.beta(*(rng.uniform(0.3, 3.0, 2)), n),
}


@pytest.mark.parametrize("null", NULLS.values(), ids=NULLS.keys())
def test_run_length_holds_under_exchangeable_scores(null: object) -> None:
    rng = np.random.default_rng(8)
    runs, length, run_length = 60, 300, 1_000
    alarms = 0
    for _ in range(runs):
        detector = RankDetector(run_length)
        for score in null(rng, length):  # type: ignore[operator]
            detector.update(float(score))
        alarms += detector.alarm
    limit = length / run_length
    assert alarms / runs <= limit + 2 * math.sqrt(limit * (1 - limit) / runs)


def test_what_recurs_by_cell_is_no_news_within_it() -> None:
    """Nights score far above days, as they always did: one cell alarms at every dusk, two never."""
    rng = np.random.default_rng(9)
    apart, together = RankDetector(20_000), RankDetector(20_000)
    for i in range(800):
        night = (i // 40) % 2 == 1
        score = float(rng.beta(4.0, 4.0) if night else rng.beta(2.0, 8.0))
        apart.update(score, cell="night" if night else "day")
        together.update(score)
    assert together.alarm
    assert not apart.alarm


def test_a_restart_goes_back_to_the_past_before_the_alarm() -> None:
    rng = np.random.default_rng(10)
    detector = RankDetector(20_000)
    for score in rng.beta(2.0, 8.0, 300):
        detector.update(float(score))
    before = sum(detector.past[""].values())
    alarm_at = 0
    for i, score in enumerate(rng.beta(6.0, 4.0, 200)):
        if detector.update(float(score)) and not alarm_at:
            alarm_at = i + 1
    assert 0 < alarm_at < 60
    assert sum(detector.past[""].values()) == before + 200
    detector.restart()
    assert sum(detector.past[""].values()) == before + alarm_at - 1
    assert detector.n == 0
    assert not detector.alarm
    again = [detector.update(float(score)) for score in rng.beta(6.0, 4.0, 60)]
    assert again[-1]


def test_a_known_past_is_ranked_among_at_once() -> None:
    past = past_of({"": [0.1] * 200, "end": [0.9] * 200})
    detector = RankDetector(1_000, past)
    assert not any(detector.update(0.9, cell="end") for _ in range(40))
    assert any(detector.update(0.9, cell="") for _ in range(40))
    assert past[""] == {bin_of(0.1): 200}  # what was handed in is not written to


def test_the_e_value_starts_at_one_and_finds_a_rise() -> None:
    rng = np.random.default_rng(11)
    detector = RankDetector(1_000)
    assert detector.log_e_value == pytest.approx(0.0)
    for score in (*rng.beta(2.0, 8.0, 200), *rng.beta(6.0, 4.0, 80)):
        detector.update(float(score))
    assert detector.log_e_value > math.log(1_000)


def test_the_mean_e_value_is_at_most_one_under_the_null() -> None:
    rng = np.random.default_rng(12)
    found = []
    for _ in range(200):
        detector = RankDetector(1_000)
        for score in rng.random(60):
            detector.update(float(score))
        found.append(math.exp(detector.log_e_value))
    assert np.mean(found) <= 1.0 + 2 * np.std(found) / math.sqrt(len(found))


def test_ties_are_broken_alike_in_a_replay_and_evenly() -> None:
    ties = [tie_of(f"a/b/normal|lie|{i}") for i in range(4_000)]
    assert ties == [tie_of(f"a/b/normal|lie|{i}") for i in range(4_000)]
    assert all(0.0 <= tie < 1.0 for tie in ties)
    assert np.mean(ties) == pytest.approx(0.5, abs=0.02)
    assert np.corrcoef([*pairwise(ties)], rowvar=False)[0, 1] == pytest.approx(0, abs=0.06)


def test_the_state_does_not_grow_with_the_past() -> None:
    rng = np.random.default_rng(13)
    detector = RankDetector()
    for score in rng.random(20_000):
        detector.learn(float(score))
    assert isinstance(detector.state(), RankState)
    assert len(detector.state().past[""]) <= 128


@pytest.mark.parametrize("run_length", [1.0, math.inf, math.nan])
def test_refuses_an_impossible_run_length(run_length: float) -> None:
    with pytest.raises(BadInputError, match="run length"):
        RankDetector(run_length)


def test_refuses_two_phase_data() -> None:
    with pytest.raises(BadInputError, match="fully observed"):
        RankDetector().update(0.5, cheap=0.5)


def test_the_bank_does_what_single_detectors_do() -> None:
    rng = np.random.default_rng(14)
    scores, ties = rng.beta(2.0, 5.0, (3, 150)), rng.random((3, 150))
    scores[:, 90:] = rng.beta(6.0, 3.0, (3, 60))
    scores[0, :5] = [0.0, 1.0, 0.5, 1e-9, 0.5]
    bank = RankBank(3, 500, cells=2)
    singles = [RankDetector(500) for _ in range(3)]
    alarm_at = [-1, -1, -1]
    for t in range(150):
        bank.update(scores[:, t], ties[:, t], cell=t % 2)
        for i, single in enumerate(singles):
            if single.update(float(scores[i, t]), cell=str(t % 2), tie=float(ties[i, t])):
                alarm_at[i] = t + 1 if alarm_at[i] < 0 else alarm_at[i]
    assert bank.log_evidence == pytest.approx([single.log_evidence for single in singles])
    assert bank.alarm_at.tolist() == alarm_at
    assert max(alarm_at) > 90
