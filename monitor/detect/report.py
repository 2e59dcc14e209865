"""Which findings may be reported together: e-values that are valid together, with a bounded false share."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from evidence.multiplicity import e_benjamini_hochberg
from monitor.detect.records import StratumState
from monitor.detect.stream import Stream


class ReportedStream(msgspec.Struct, frozen=True, kw_only=True):
    """One stream that is reported: its e-value as a natural logarithm, and its alarm if one is latched."""

    stratum: str
    metric: str
    evaluator_version: str
    log_e_value: float
    n: int
    alarm_id: str | None


class JointReport(msgspec.Struct, frozen=True, kw_only=True):
    """The streams reported together out of `streams` watched; their expected false share is at most `level`."""

    level: float
    streams: int
    reported: tuple[ReportedStream, ...]

    @property
    def alarm_ids(self) -> frozenset[str]:
        """Alarms among the findings."""
        return frozenset(f.alarm_id for f in self.reported if f.alarm_id is not None)


def joint_report(states: Iterable[StratumState], *, level: float) -> JointReport:
    """Benjamini and Hochberg's procedure on the start-weighted e-values of everything watched.

    Every stream under its stratum's latest evaluator counts, whether in alarm or not: to choose
    among the alarms alone would be a selection that the level does not cover. Each e-value is one
    at any stopping time, so the report may be made at any time (docs/statistics.md).
    """
    found = [finding for state in states for finding in _findings(state)]
    chosen = e_benjamini_hochberg([finding.log_e_value for finding in found], level)
    reported = sorted((found[i] for i in chosen), key=lambda f: (-f.log_e_value, f.stratum))
    return JointReport(level=level, streams=len(found), reported=tuple(reported))


def _findings(state: StratumState) -> Iterable[ReportedStream]:
    latest = state.evaluators[-1] if state.evaluators else None
    for stream in state.streams:
        if stream.evaluator_version != latest:
            continue
        watched = Stream(stream, state.average_run_length, 0.0)
        log_e_value, evidence = watched.log_e_value(), watched.evidence()
        if log_e_value is None:
            continue
        yield ReportedStream(
            stratum=state.stratum,
            metric=stream.metric,
            evaluator_version=stream.evaluator_version,
            log_e_value=log_e_value,
            n=evidence.n if evidence else 0,
            alarm_id=state.latched.get(stream.metric),
        )
