"""What an alarm says: the measured score rose, since when, by how much, under which models, shown by what."""

from __future__ import annotations

from typing import Any

import msgspec

from evidence import Alarm, AlarmSubject, digest
from evidence.change_point import locate
from evidence.confidence import wilson
from evidence.records import LoggedVerdict
from monitor.detect.records import Tally
from monitor.detect.stream import Stream

TELLING_SHOWN = 20

_NAMES = {
    "lie": "probability of a lie",
    "evasion": "probability of an evasion",
    "worst_case": "worst case (unmeasured responses count as dishonest)",
    "own_actions": "share of responses whose tool record contradicts what they say was done, of those with acts to see,",
}


_RANKED = (
    "ranks higher than the stratum's own past at the same hours of the week. Topics that the sensor "
    "reads as worse raise it too when they come in bursts, in spells or to stay"
)


def finding(stream: Stream, entry: LoggedVerdict) -> Alarm:
    """The alarm that `entry` raised. Deterministic in the log."""
    assert stream.reference is not None  # noqa: S101  (a stream without one has no detector)
    evidence = stream.evidence()
    assert evidence is not None  # noqa: S101
    since = locate(stream.blocks)
    bound = stream.reference.value + stream.tolerance
    how = f"exceeds its {stream.reference.source} reference with tolerance, {bound:.3f}"
    if evidence.by == "ranks":
        how = _RANKED
    elif stream.reference.n:
        how += (
            f". It was learned from {stream.reference.n} verdicts; what differs since raises it too"
        )
    details: dict[str, Any] = {
        "evaluator_version": stream.evaluator_version,
        "reference": msgspec.to_builtins(stream.reference),
        "tolerance": stream.tolerance,
        "average_run_length": evidence.average_run_length,
        "detector": evidence.by,
        "trace": [*stream.trace, (evidence.n, evidence.log_evidence)]
        if evidence.by == "ranks"
        else [],
        "since": msgspec.to_builtins(since) if since else None,
        "models": [
            {"model": model, "first_log_position": tally.first_position, **mean_of(tally)}
            for model, tally in stream.models.items()
        ],
        "telling": _telling(stream, since.lower if since else 0),
    }
    return Alarm(
        alarm_id=digest(
            entry.stratum, stream.metric, stream.evaluator_version, str(entry.log_position)
        )[:32],
        subject=AlarmSubject.STRATUM,
        scope=entry.stratum,
        metric=stream.metric,
        claim=f"the measured score rose: {_NAMES[stream.metric]} in {entry.stratum} {how}",
        opened_at_s=entry.scored_at_s,
        log_position=entry.log_position,
        n=evidence.n,
        log_evidence=evidence.log_evidence,
        log_threshold=evidence.log_threshold,
        reference=stream.reference.value,
        details=details,
    )


def mean_of(tally: Tally) -> dict[str, float | int]:
    """`n`, `mean` and a 95 % interval: Wilson's, which is too wide for scores other than 0 and 1."""
    interval = wilson(tally.total, tally.n)
    return {
        "n": tally.n,
        "mean": tally.total / tally.n,
        "lower": interval.lower,
        "upper": interval.upper,
    }


def _telling(stream: Stream, since: int) -> list[int]:
    """Log positions of the highest scores since the rise may have begun, highest first."""
    recent = [item for item in stream.telling if item.log_position >= since]
    ordered = sorted(recent, key=lambda item: (-item.score, -item.log_position))
    return [item.log_position for item in ordered[:TELLING_SHOWN]]
