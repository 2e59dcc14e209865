"""Ranks in the fold: power where the mean has none, hours apart, references with a past, closing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from evidence import Alarm, VerdictKind
from evidence.records import LoggedVerdict
from monitor.detect.hours import hours_of, pasts_of
from monitor.detect.options import DetectionOptions
from monitor.detect.records import Reference, StratumState, StreamState, decode_state, encode_state
from monitor.detect.report import joint_report
from monitor.detect.stratum import advance, close, new_state, rebase, status

APART = 1.812  # AUROC .9
MONDAY_S = 4 * 86_400.0
OPTIONS = DetectionOptions()
QUICK = DetectionOptions(false_alarms_per_month=1.0, responses_per_month=10_000.0)


def p_lie(
    rng: np.random.Generator, n: int, *, lies: float, apart: float = APART
) -> NDArray[np.float64]:
    """Scores of a sensor of that sharpness, calibrated on 49 % lies."""
    score = rng.normal(size=n) + apart * (rng.random(n) < lies)
    odds = math.log(0.49 / 0.51) + apart * score - apart**2 / 2.0
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))


def log_of(
    scores: Sequence[float], *, start: int = 1, step_s: float = 86.4, evaluator: str = "e1"
) -> list[LoggedVerdict]:
    return [
        LoggedVerdict(
            log_position=start + i,
            stratum="a/b/normal",
            kind=VerdictKind.HONEST,
            p_lie=float(score),
            p_evasion=0.0,
            inclusion_probability=1.0,
            model="m",
            evaluator_version=evaluator,
            scored_at_s=MONDAY_S + step_s * (start + i),
        )
        for i, score in enumerate(scores)
    ]


def run(
    log: Sequence[LoggedVerdict],
    state: StratumState | None = None,
    options: DetectionOptions = OPTIONS,
) -> tuple[StratumState, list[Alarm]]:
    return advance(state or new_state("a/b/normal", options=options), log, options=options)


def lie(state: StratumState) -> StreamState:
    return next(stream for stream in state.streams if stream.metric == "lie")


def test_as_shipped_a_rise_from_two_to_twenty_percent_is_found_in_hundreds_of_responses() -> None:
    delays = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        quiet = p_lie(rng, 3_000, lies=0.02)
        state, alarms = run(log_of(quiet))
        assert not alarms
        state, alarms = run(log_of(p_lie(rng, 1_000, lies=0.2), start=3_001), state)
        first = next(alarm for alarm in alarms if alarm.metric == "lie")
        assert first.details["detector"] == "ranks"
        assert "ranks higher than the stratum's own past" in first.claim
        assert "Topics" in first.claim
        assert first.details["trace"][-1] == pytest.approx((first.n, first.log_evidence))
        delays.append(first.log_position - 3_000)
    # An oracle that knows both distributions needs about 130 at this run length.
    assert np.median(delays) <= 3 * 130


def test_false_alarms_stay_within_the_budget_of_all_parts_together() -> None:
    rng = np.random.default_rng(17)
    runs, length, alarmed = 15, 600, 0
    options = QUICK.model_copy(update={"responses_per_month": 3_000.0})
    for _ in range(runs):
        alarmed += bool(run(log_of(p_lie(rng, length, lies=0.02)), options=options)[1])
    limit = length / 3_000 + options.reference_error
    assert alarmed / runs <= limit + 2 * math.sqrt(limit * (1 - limit) / runs)


def test_weekends_that_always_differ_are_no_news() -> None:
    """Scores rise every Saturday; told apart by the hours they do not, and at any other time they do."""
    rng = np.random.default_rng(18)
    days = np.arange(4_200) // 100
    base = p_lie(rng, len(days), lies=0.02)
    odds = np.log(base / (1 - base)) + 1.5 * (days % 7 >= 5)
    log = log_of(1.0 / (1.0 + np.exp(-odds)), step_s=864.0)
    # The worst case has no ranks: its mean was learned on two weekdays, and says so.
    alarms = run(log)[1]
    assert {alarm.metric for alarm in alarms} <= {"worst_case"}
    assert all("learned from 200 verdicts" in alarm.claim for alarm in alarms)
    blurred = [  # the same scores, all at one hour
        LoggedVerdict(**{**as_fields(e), "created_at_s": MONDAY_S}) for e in log
    ]
    assert "lie" in {alarm.metric for alarm in run(blurred)[1]}


def test_lies_at_hours_that_the_reference_never_saw_are_found_on_such_days() -> None:
    rng = np.random.default_rng(19)
    honest = log_of(p_lie(rng, 200, lies=0.02), step_s=60.0)  # Monday's first quarter
    lies = [
        LoggedVerdict(**{**as_fields(e), "scored_at_s": e.scored_at_s + 40_000.0})
        for e in log_of([0.97] * 60, start=201, step_s=60.0)
    ]
    assert hours_of(lies[0], OPTIONS) != hours_of(honest[0], OPTIONS)
    state, alarms = run(honest)
    assert not alarms
    assert "lie" in {alarm.metric for alarm in run(lies, state)[1]}


def as_fields(entry: LoggedVerdict) -> dict[str, object]:
    return {name: getattr(entry, name) for name in entry.__struct_fields__}


def test_hours_are_the_users_and_of_the_response() -> None:
    entry = log_of([0.1])[0]
    fields = as_fields(entry)
    sunday = LoggedVerdict(**{**fields, "created_at_s": MONDAY_S - 3_600.0})
    assert hours_of(entry, OPTIONS) == "week0"
    assert hours_of(sunday, OPTIONS) == "end3"
    assert hours_of(sunday, OPTIONS.model_copy(update={"hours_ahead_of_utc": 2.0})) == "week0"


def test_closing_ranks_among_the_past_before_the_alarm() -> None:
    rng = np.random.default_rng(19)
    state, _ = run(log_of(p_lie(rng, 2_000, lies=0.02)), options=QUICK)
    state, alarms = run(
        log_of(p_lie(rng, 800, lies=0.4), start=2_001), decode_state(encode_state(state)), QUICK
    )
    first = next(a for a in alarms if a.metric == "lie").log_position - 2_000
    held = lie(close(state, "lie", options=QUICK)).ranks
    assert held is not None
    assert sum(n for cell in held.past.values() for n in cell.values()) == 2_000 + first - 1
    state = close(state, "lie", options=QUICK)
    _, again = run(log_of(p_lie(rng, 300, lies=0.4), start=3_001), state, QUICK)
    assert "lie" in {alarm.metric for alarm in again}


def test_an_alarm_by_the_mean_holds_the_past_too() -> None:
    rng = np.random.default_rng(20)
    rising = p_lie(rng, 6_000, lies=0.02) + np.linspace(0.0, 0.45, 6_000)
    state, alarms = run(log_of(np.clip(rising, 0, 1)), options=QUICK)
    assert "lie" in {alarm.metric for alarm in alarms}
    ranks = lie(state).ranks
    assert ranks is not None
    assert ranks.held is not None


def test_a_reference_with_its_past_is_ranked_among_and_a_bare_value_is_not() -> None:
    rng = np.random.default_rng(21)
    state, _ = run(log_of(p_lie(rng, 400, lies=0.02)), options=QUICK)
    reference = Reference(value=0.6, source="rescored", log_position=state.log_position)
    window = log_of(p_lie(rng, 400, lies=0.02), evaluator="e2")
    past = rebase(
        state,
        {"lie": reference},
        options=QUICK,
        evaluator_version="e2",
        pasts=pasts_of(window, QUICK),
    )
    rise = log_of(p_lie(rng, 400, lies=0.5), start=1_001, evaluator="e2")
    assert "lie" in {alarm.metric for alarm in run(rise, past, QUICK)[1]}
    bare = rebase(state, {"lie": reference}, options=QUICK, evaluator_version="e2")
    assert "lie" not in {alarm.metric for alarm in run(rise, bare, QUICK)[1]}


def test_each_metric_has_a_declared_reference_of_its_own() -> None:
    options = OPTIONS.model_copy(update={"reference": 0.5, "evasion_reference": 0.2})
    state, _ = run(log_of([0.3] * 10), options=options)
    shown = {metric: (s["reference"], s["phase"]) for metric, s in status(state).items()}
    assert shown == {
        "lie": (0.5, "watching"),
        "evasion": (0.2, "watching"),
        "worst_case": (None, "learning"),
        "own_actions": (None, "learning"),
    }


def test_honest_traffic_with_a_declared_lie_reference_raises_no_worst_case() -> None:
    """Lies .10 as declared, evasions .05 and errors .01 besides: nothing is wrong."""
    rng = np.random.default_rng(22)
    options = OPTIONS.model_copy(update={"reference": 0.1})
    made = []
    for entry in log_of(rng.beta(1.0, 9.0, 4_000)):
        failed = rng.random() < 0.01
        kind = VerdictKind.ERROR if failed else VerdictKind.HONEST
        evasion = float(rng.random() < 0.05)
        fields = {**as_fields(entry), "kind": kind, "p_evasion": evasion}
        made.append(LoggedVerdict(**{**fields, "p_lie": None if failed else entry.p_lie}))
    assert run(made, options=options)[1] == []


def test_a_ranked_rise_is_reported_jointly() -> None:
    rng = np.random.default_rng(23)
    state, _ = run(log_of(p_lie(rng, 2_000, lies=0.02)))
    state, _ = run(log_of(p_lie(rng, 900, lies=0.5), start=2_001), state)
    found = joint_report([state], level=0.1)
    assert "lie" in {one.metric for one in found.reported}


def test_the_state_stays_small() -> None:
    rng = np.random.default_rng(24)
    state, _ = run(log_of(p_lie(rng, 4_000, lies=0.1), step_s=600.0))
    assert len(encode_state(state)) < 24_000
