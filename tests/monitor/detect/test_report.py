"""The joint report: a bounded false share whenever it is made, and findings that it does name."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evidence import VerdictKind
from evidence.records import LoggedVerdict
from evidence.start_weighted import StartWeighted
from monitor.detect.options import DetectionOptions
from monitor.detect.records import StratumState, StreamState
from monitor.detect.report import joint_report
from monitor.detect.stratum import advance, close, new_state

LEVEL = 0.1


def states_of(streams: list[StartWeighted]) -> list[StratumState]:
    return [
        StratumState(
            stratum=f"a/s{i}/normal",
            average_run_length=10_000.0,
            evaluators=("e",),
            streams=(StreamState(metric="lie", evaluator_version="e", joint=stream.state()),),
        )
        for i, stream in enumerate(streams)
    ]


def first_report(rng: np.random.Generator, drifting: int, streams: int = 8) -> set[str]:
    """What the first report that names anything names, looked at after every tenth score."""
    watched = [StartWeighted(0.1) for _ in range(streams)]
    for look in range(25):
        for i, stream in enumerate(watched):
            rate = 0.45 if i < drifting and look >= 5 else 0.1
            for score in rng.random(10) < rate:
                stream.update(float(score))
        if found := joint_report(states_of(watched), level=LEVEL).reported:
            return {finding.stratum for finding in found}
    return set()


@pytest.mark.parametrize("drifting", [0, 3])
def test_the_false_share_at_the_first_report_is_within_the_level(drifting: int) -> None:
    rng, runs = np.random.default_rng(71 + drifting), 120
    true = {f"a/s{i}/normal" for i in range(drifting)}
    shares, found = [], 0
    for _ in range(runs):
        named = first_report(rng, drifting)
        shares.append(len(named - true) / len(named) if named else 0.0)
        found += bool(named & true)
    assert np.mean(shares) <= LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / runs)
    if drifting:
        assert found / runs > 0.9


def entry(i: int, lies: bool, stratum: str) -> LoggedVerdict:
    return LoggedVerdict(
        log_position=i,
        stratum=stratum,
        kind=VerdictKind.LIE if lies else VerdictKind.HONEST,
        p_lie=0.95 if lies else 0.02,
        p_evasion=0.0,
        inclusion_probability=1.0,
        model="m",
        evaluator_version="e",
        scored_at_s=float(i),
    )


def test_a_drifted_stratum_is_reported_with_its_alarm_until_it_is_closed() -> None:
    options = DetectionOptions(
        reference=0.1, evasion_reference=0.1, worst_case_reference=0.1, tolerance=0.02
    )
    states, alarms = [], []
    for stratum, lies in (("a/bad/normal", True), ("a/good/normal", False)):
        log = [entry(i, lies, stratum) for i in range(1, 60)]
        state, new = advance(new_state(stratum, options=options), log, options=options)
        states.append(state)
        alarms += new
    report = joint_report(states, level=LEVEL)
    assert report.streams == 6
    assert {(f.stratum, f.metric) for f in report.reported} == {
        ("a/bad/normal", "lie"),
        ("a/bad/normal", "worst_case"),
    }
    assert report.alarm_ids == {alarm.alarm_id for alarm in alarms}
    for metric in ("lie", "worst_case"):
        states[0] = close(states[0], metric, options=options)
    assert joint_report(states, level=LEVEL).reported == ()


def test_nothing_watched_reports_nothing() -> None:
    assert joint_report([], level=LEVEL).reported == ()
