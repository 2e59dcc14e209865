"""What a stratum says it can see is what it finds, by seeded simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evidence.rank_detector import RankDetector, score_in
from monitor.detect.options import DetectionOptions
from monitor.detect.records import StratumState, StreamState
from monitor.detect.sight import Sight, sight_of
from monitor.detect.stratum import advance, new_state
from tests.monitor.detect.test_ranks import log_of, p_lie

OPTIONS = DetectionOptions(
    false_alarms_per_month=1.0, responses_per_month=1_000.0, reference_window=100
)


def watched(scores: list[float], *, step_s: float = 3_600.0) -> StreamState:
    state, _ = advance(
        new_state("a/b/normal", options=OPTIONS), log_of(scores, step_s=step_s), options=OPTIONS
    )
    return lie_stream(state)


def lie_stream(state: StratumState) -> StreamState:
    return next(stream for stream in state.streams if stream.metric == "lie")


def test_a_fall_of_the_size_that_is_seen_is_found_in_nine_of_ten_months() -> None:
    """Lies score as the formula takes them to: called a lie at the sensor's measured rate."""
    rng = np.random.default_rng(3)
    sensitivity, before, month = 0.8, 1_200, 720
    past = p_lie(rng, before, lies=0.02).tolist()
    stream = watched(past)
    sight = sight_of(stream, sensitivity=sensitivity)
    assert sight is not None
    assert sight.scores_per_month == pytest.approx(720, rel=0.01)
    assert sight.smallest_fall is not None
    assert stream.ranks is not None
    found = {1.0: 0, 0.4: 0}
    runs = 25
    for part in found:
        for _ in range(runs):
            detector = RankDetector.restore(stream.ranks)
            detector.restart()
            rise = mixed(rng, past, sensitivity, part * sight.smallest_fall, month)
            cells = [*stream.ranks.past]
            hits = [
                detector.update(float(s), cell=cells[i // 6 % len(cells)], tie=float(rng.random()))
                for i, s in enumerate(rise)
            ]
            found[part] += any(hits)
    assert found[1.0] / runs >= 0.9 - 2 * math.sqrt(0.9 * 0.1 / runs)
    assert found[0.4] / runs <= 0.5


def mixed(
    rng: np.random.Generator, past: list[float], sensitivity: float, share: float, n: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    scores = np.array(past)
    called, passed = scores[scores >= 0.5], scores[scores < 0.5]
    caught = rng.random(n) < sensitivity
    lies = np.where(caught, rng.choice(called, n), rng.choice(passed, n))
    return np.where(rng.random(n) < share, lies, rng.choice(scores, n))


def test_a_sensor_that_calls_lies_as_often_as_honest_answers_sees_nothing() -> None:
    rng = np.random.default_rng(4)
    past = p_lie(rng, 1_000, lies=0.02)
    called = float(np.mean(past >= 0.5))
    sight = sight_of(watched(past.tolist()), sensitivity=called)
    assert sight is not None
    assert sight.smallest_fall is None
    assert sight.blind(0.99)


def test_a_sharper_sensor_and_more_traffic_see_smaller_falls() -> None:
    rng = np.random.default_rng(5)
    past = p_lie(rng, 1_000, lies=0.02).tolist()
    falls = [
        _fall(watched(past), sensitivity=0.6),
        _fall(watched(past), sensitivity=0.9),
        _fall(watched(past), sensitivity=None),
    ]
    assert falls == sorted(falls, reverse=True)
    assert _fall(watched(past, step_s=360.0), sensitivity=0.9) < falls[1]


def _fall(stream: StreamState, *, sensitivity: float | None) -> float:
    sight = sight_of(stream, sensitivity=sensitivity)
    assert sight is not None
    assert sight.smallest_fall is not None
    return sight.smallest_fall


def test_a_declared_reference_sees_by_the_mean_alone() -> None:
    rng = np.random.default_rng(6)
    options = OPTIONS.model_copy(update={"reference": 0.4})
    log = log_of(p_lie(rng, 600, lies=0.02).tolist())
    state, _ = advance(new_state("a/b/normal", options=options), log, options=options)
    stream = lie_stream(state)
    assert not stream.ranked
    sight = sight_of(stream, sensitivity=0.8)
    assert isinstance(sight, Sight)
    # The mean lies far below what was declared: it takes a large fall to pass it.
    assert sight.smallest_fall is None or sight.smallest_fall > 0.3


def test_nothing_is_said_while_it_learns() -> None:
    assert sight_of(watched([0.3] * 80), sensitivity=0.9) is None
    assert sight_of(StreamState(metric="lie", evaluator_version="e"), sensitivity=0.9) is None


def test_a_sensor_without_false_calls_sees_the_smallest_fall_of_all() -> None:
    sharp = watched([score_in(-20)] * 1_000)
    assert _fall(sharp, sensitivity=1.0) == _fall(sharp, sensitivity=None)
    assert _fall(sharp, sensitivity=1.0) < 0.05
