"""A stored log entry as detection reads it."""

from __future__ import annotations

from evidence import VerdictKind
from monitor.detect.records import LoggedVerdict
from monitor.store.verdicts import LogEntry


def logged(entry: LogEntry) -> LoggedVerdict:
    """The entry's columns as a `LoggedVerdict`."""
    return LoggedVerdict(
        log_position=entry.log_position,
        stratum=entry.stratum,
        kind=VerdictKind(entry.kind),
        p_lie=entry.p_lie,
        p_evasion=entry.p_evasion,
        inclusion_probability=entry.inclusion_probability,
        model=entry.model,
        evaluator_version=entry.evaluator_version,
        scored_at_s=entry.scored_at_s,
    )
