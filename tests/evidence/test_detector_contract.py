"""What every detector promises, checked on each of them by seeded simulation."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest

from evidence.e_detector import EDetector, EDetectorState
from evidence.errors import BadInputError
from evidence.rank_detector import RankDetector, RankState
from evidence.start_weighted import StartWeighted, StartWeightedState
from evidence.two_sided import TwoSidedDetector, TwoSidedState


@dataclass(frozen=True)
class Case:
    """A detector with the bound .1 and the limit on P(alarm within 300 scores) under the null."""

    make: Callable[[], Any]
    state: type
    limit: float


CASES = {
    "e_detector": Case(lambda: EDetector(0.08, 1_500, 0.02), EDetectorState, 300 / 1_500),
    "two_sided": Case(lambda: TwoSidedDetector(0.05, 0.1, 1_500), TwoSidedState, 300 / 1_500),
    "ranks": Case(lambda: RankDetector(1_500), RankState, 300 / 1_500),
    "start_weighted": Case(lambda: StartWeighted(0.1, 0.2, horizon=300), StartWeightedState, 0.2),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def test_silent_before_any_score(case: Case) -> None:
    detector = case.make()
    assert detector.n == 0
    assert not detector.alarm
    assert detector.log_evidence <= 1e-12


def test_null_alarms_stay_within_the_limit(case: Case) -> None:
    rng = np.random.default_rng(11)
    runs, alarms = 60, 0
    for _ in range(runs):
        detector = case.make()
        for score in (rng.random(300) < 0.1).astype(float):
            detector.update(score)
        alarms += detector.alarm
    assert alarms / runs <= case.limit + 2 * math.sqrt(case.limit * (1 - case.limit) / runs)


def test_a_rise_is_found_and_stays_found(case: Case) -> None:
    rng = np.random.default_rng(12)
    detector = case.make()
    for score in (rng.random(200) < 0.1).astype(float):
        detector.update(score)
    found = [detector.update(float(s)) for s in rng.random(200) < 0.6]
    assert found[-1]
    assert found.index(True) < 40
    for _ in range(500):
        assert detector.update(0.08)


def test_alarm_is_the_threshold_crossing(case: Case) -> None:
    detector = case.make()
    for _ in range(400):
        alarm = detector.update(0.9)
        assert alarm == (detector.log_evidence >= detector.log_threshold)


def test_state_survives_json_to_the_last_bit(case: Case) -> None:
    rng = np.random.default_rng(13)
    scores = rng.beta(0.3, 1.5, 200)
    straight = case.make()
    hopping = case.make()
    for score in scores:
        straight.update(score)
        text = msgspec.json.encode(hopping.state())
        hopping = type(hopping).restore(msgspec.json.decode(text, type=case.state))
        hopping.update(score)
    assert hopping.state() == straight.state()
    assert hopping.log_evidence == straight.log_evidence
    assert hopping.alarm == straight.alarm
    assert json.loads(msgspec.json.encode(straight.state()))["schema_version"] == 1


def test_reset_gives_a_new_detector(case: Case) -> None:
    detector = case.make()
    for _ in range(50):
        detector.update(1.0)
    detector.reset()
    assert detector.state() == case.make().state()


def test_nothing_observed_moves_nothing(case: Case) -> None:
    detector = case.make()
    detector.update(0.4)
    before = detector.state()
    detector.update(None)
    assert detector.state() == before


@pytest.mark.parametrize("score", [-0.01, 1.01, math.nan, math.inf])
def test_scores_outside_the_unit_interval_are_refused(case: Case, score: float) -> None:
    detector = case.make()
    detector.update(0.3)
    before = detector.state()
    with pytest.raises(BadInputError, match="must lie in"):
        detector.update(score)
    assert detector.state() == before


def test_extreme_scores_keep_the_evidence_finite(case: Case) -> None:
    detector = case.make()
    for score in [0.0] * 3_000 + [1.0] * 3_000 + [0.0] * 3_000:
        detector.update(score)
    assert math.isfinite(detector.log_evidence)


def test_refuses_a_propensity_below_the_declared_minimum(case: Case) -> None:
    with pytest.raises(BadInputError):
        case.make().update(0.2, 0.5)


def test_refuses_a_state_of_another_grid(case: Case) -> None:
    detector = case.make()
    detector.update(0.5)
    raw = msgspec.to_builtins(detector.state())
    for part in (raw, raw.get("above") or {}):
        for name in ("log_one_plus", "log_wealth", "log_started"):
            if name in part:
                part[name] = part[name][:-1]
    with pytest.raises(BadInputError, match="stored state"):
        type(detector).restore(msgspec.convert(raw, case.state))
