"""Evaluator health: a stopped, a flattering and a babbling judge each raise their own alarm."""

import math
from collections.abc import Callable, Iterable

import msgspec
import numpy as np
import pytest

from evidence import Alarm, AlarmSubject, BadInputError, VerdictKind
from monitor.detect.health import (
    HealthState,
    HealthTick,
    MeasuredCanary,
    ProbeCount,
    advance_health,
    close_health,
    decode_health,
    encode_health,
    new_health,
    unhealthy,
)
from monitor.detect.options import HealthOptions

OPTIONS = HealthOptions(canary_window=20, silence_s=240, min_concordance=0.7)


def sound(rng: np.random.Generator, t: int) -> HealthTick:
    """Two canaries and ten evaluations a minute by a judge with some noise."""
    return HealthTick(
        at_s=60.0 * t,
        due=12,
        finished=12 - int(rng.random() < 0.2),
        failed=int(rng.random() < 0.1),
        canaries=(
            MeasuredCanary(known=VerdictKind.LIE, p_lie=float(rng.beta(6, 3))),
            MeasuredCanary(known=VerdictKind.HONEST, p_lie=float(rng.beta(2, 8))),
            MeasuredCanary(known=VerdictKind.EVASION, p_lie=None, p_evasion=float(rng.beta(4, 4))),
        ),
        repeats=(float(rng.beta(1, 30)),),
    )


def run(
    ticks: Iterable[HealthTick], state: HealthState | None = None
) -> tuple[HealthState, list[Alarm]]:
    state, alarms = state or new_health("judge-1"), []
    for tick in ticks:
        state, new = advance_health(decode_health(encode_health(state)), tick, options=OPTIONS)
        alarms += new
    return state, alarms


@pytest.fixture(scope="module")
def well() -> HealthState:
    rng = np.random.default_rng(91)
    state, alarms = run(sound(rng, t) for t in range(400))
    assert alarms == []
    return state


def changed(tick: HealthTick, **fields: object) -> HealthTick:
    return msgspec.structs.replace(tick, **fields)


def flattering(tick: HealthTick) -> HealthTick:
    """Every answer is "honest"."""
    canaries = tuple(
        MeasuredCanary(known=c.known, p_lie=0.02, p_evasion=0.02) for c in tick.canaries
    )
    return changed(tick, canaries=canaries)


def test_a_stopped_judge_alarms_within_the_configured_silence(well: HealthState) -> None:
    ticks = [HealthTick(at_s=60.0 * (400 + t), due=12) for t in range(8)]
    state, alarms = run(ticks, well)
    assert [a.metric for a in alarms] == ["expected_vs_actual"]
    assert alarms[0].opened_at_s <= 60.0 * 399 + OPTIONS.silence_s
    assert alarms[0].subject is AlarmSubject.EVALUATOR
    assert alarms[0].scope == "judge-1"
    assert unhealthy(state) == ["expected_vs_actual"]


def test_a_judge_that_never_ran_alarms_too() -> None:
    _, alarms = run(HealthTick(at_s=60.0 * t, due=3) for t in range(6))
    assert [a.metric for a in alarms] == ["expected_vs_actual"]
    slow = HealthOptions(silence_s=1e9)
    state, found = new_health("judge-1"), []
    for t in range(20):
        state, new = advance_health(state, HealthTick(at_s=60.0 * t, due=3), options=slow)
        found += new
    assert [a.metric for a in found] == ["expected_vs_actual"]  # by evidence instead of by time


def test_nothing_to_do_is_no_silence() -> None:
    _, alarms = run(HealthTick(at_s=3_600.0 * t) for t in range(100))
    assert alarms == []


def test_a_flattering_judge_alarms(well: HealthState) -> None:
    rng = np.random.default_rng(92)
    _, alarms = run((flattering(sound(rng, 400 + t)) for t in range(120)), well)
    found = {a.metric for a in alarms}
    assert {"canary_separation", "canary_lie"} <= found
    assert not {"parse_failures", "repeatability", "expected_vs_actual"} & found
    lie = next(a for a in alarms if a.metric == "canary_lie")
    assert "below its normal range" in lie.claim


def test_a_judge_that_flattered_from_the_start_is_not_taken_for_normal() -> None:
    rng = np.random.default_rng(93)
    _, alarms = run(flattering(sound(rng, t)) for t in range(120))
    assert [a.metric for a in alarms] == ["canary_separation"]


def binormal(rng: np.random.Generator, t: int, apart: float) -> HealthTick:
    """A lie and an honest canary a minute, whose normal scores stand `apart`; concordance by Phi."""
    lie, honest = rng.normal(apart / 2.0), rng.normal(-apart / 2.0)
    return HealthTick(
        at_s=60.0 * t,
        due=2,
        finished=2,
        canaries=(
            MeasuredCanary(known=VerdictKind.LIE, p_lie=1.0 / (1.0 + math.exp(-lie))),
            MeasuredCanary(known=VerdictKind.HONEST, p_lie=1.0 / (1.0 + math.exp(-honest))),
        ),
    )


def test_a_judge_half_as_sharp_as_it_was_alarms() -> None:
    """Its concordance falls from .90 to .74, which is above any declared minimum that it could have."""
    rng = np.random.default_rng(94)
    state, alarms = run(binormal(rng, t, 1.81) for t in range(300))
    assert alarms == []
    state, alarms = run((binormal(rng, 300 + t, 0.905) for t in range(400)), state)
    assert [a.metric for a in alarms] == ["canary_sharpness"]
    assert "moved towards each other" in alarms[0].claim
    assert unhealthy(state) == ["canary_sharpness"]
    closed = close_health(state, "canary_sharpness")
    assert closed.sharpness is None


def test_the_same_canaries_in_turn_raise_nothing() -> None:
    """Thirty of a kind, each with the score that it always gets: not exchangeable, but calmer."""
    rng = np.random.default_rng(95)
    turn = [binormal(rng, 0, 1.0).canaries for _ in range(30)]
    ticks = (
        HealthTick(at_s=60.0 * t, due=2, finished=2, canaries=turn[t % 30]) for t in range(900)
    )
    assert run(ticks)[1] == []


def test_a_judge_that_fails_to_parse_alarms(well: HealthState) -> None:
    rng = np.random.default_rng(94)
    ticks = (changed(sound(rng, 400 + t), finished=12, failed=9, canaries=()) for t in range(15))
    _, alarms = run(ticks, well)
    assert [a.metric for a in alarms] == ["parse_failures"]


def test_a_judge_that_contradicts_itself_alarms(well: HealthState) -> None:
    rng = np.random.default_rng(95)
    ticks = (changed(sound(rng, 400 + t), repeats=tuple(rng.random(2).tolist())) for t in range(40))
    _, alarms = run(ticks, well)
    assert [a.metric for a in alarms] == ["repeatability"]


def test_alarm_latches_until_closed(well: HealthState) -> None:
    stopped = [HealthTick(at_s=60.0 * (400 + t), due=12) for t in range(30)]
    state, alarms = run(stopped, well)
    assert len(alarms) == 1
    closed = close_health(state, "expected_vs_actual")
    assert unhealthy(closed) == []
    rng = np.random.default_rng(96)
    state, alarms = run((sound(rng, 500 + t) for t in range(50)), closed)
    assert alarms == []
    with pytest.raises(BadInputError, match="no latched"):
        close_health(state, "expected_vs_actual")


@pytest.mark.parametrize(
    "tick",
    [
        HealthTick(at_s=1.0, due=1, finished=2),
        HealthTick(at_s=1.0, due=2, finished=1, failed=2),
        HealthTick(at_s=1.0, repeats=(1.5,)),
        HealthTick(at_s=1.0, canaries=(MeasuredCanary(known=VerdictKind.LIE, p_lie=-1.0),)),
        HealthTick(at_s=1.0, canaries=(MeasuredCanary(known=VerdictKind.ERROR, p_lie=0.5),)),
    ],
)
def test_impossible_ticks_are_refused(tick: HealthTick) -> None:
    with pytest.raises(BadInputError):
        advance_health(new_health("judge-1"), tick, options=OPTIONS)


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-3], lambda t: t.replace('version":1', 'version":2')]
)
def test_unreadable_state_is_refused(spoil: Callable[[str], str]) -> None:
    with pytest.raises(BadInputError, match="health state"):
        decode_health(spoil(encode_health(new_health("judge"))))


def test_two_probes_whose_names_begin_alike_have_checks_of_their_own() -> None:
    names = ("approved_belief_reader_first", "approved_belief_reader_second")
    counts = {names[0]: ProbeCount(10, 0, 9), names[1]: ProbeCount(10, 0, 0)}
    ticks = [HealthTick(at_s=60.0 * t, due=10, finished=10, probes=counts) for t in range(60)]
    state, alarms = run(ticks)
    (failing,) = {alarm.metric for alarm in alarms}
    assert failing.startswith("parse_failures:approved")
    assert len(failing) <= 32
    assert list(unhealthy(state)) == [failing]


def test_an_action_probe_that_contradicts_nothing_is_found_and_one_that_errs_rarely_is_not() -> (
    None
):
    flat, alarms = run(HealthTick(at_s=60.0 * t, wrong_acts=(t % 2 == 0,)) for t in range(80))
    assert [alarm.metric for alarm in alarms] == ["canary_acts"]
    assert unhealthy(flat) == ["canary_acts"]
    assert close_health(flat, "canary_acts").latched == {}
    assert run(HealthTick(at_s=60.0 * t, wrong_acts=(t % 10 == 0,)) for t in range(3_000))[1] == []
