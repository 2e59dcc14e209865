"""Detectors and the health of what they rest on: freeze, thaw, and wait before a failure is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, Engine

from evidence.outcomes import Outcome, decode_outcomes
from evidence.records import LoggedVerdict
from monitor.detect.records import StratumState, decode_state, encode_state
from monitor.detect.stratum import freeze, thaw
from monitor.store import audit, detectors, health
from monitor.store.engine import reading
from monitor.store.health import StoredHealth
from monitor.store.status import detector_states

Health = Mapping[str, StoredHealth]


def frozen_as(state: StratumState, found: Health) -> StratumState:
    """The state with exactly those evaluators frozen that are unhealthy now.

    One that is well again is believed after the last verdict that health has looked at: what it
    judged before its alarm was closed stays unread.
    """
    for version, known in found.items():
        reason = ", ".join(known.unhealthy)
        if reason and state.frozen.get(version) != reason:
            state = freeze(state, version, reason)
        elif not reason and version in state.frozen:
            state = thaw(state, version, after=known.log_position)
    return state


def audit_freezing(
    connection: Connection, before: StratumState, after: StratumState, *, now_s: float
) -> None:
    """Write to the audit log at which log position what was frozen or thawed: a replay repeats it there."""
    for version in sorted(before.frozen.keys() | after.frozen.keys()):
        if before.frozen.get(version) == after.frozen.get(version):
            continue
        audit.append(
            connection,
            by="candor",
            action="detector.freeze" if version in after.frozen else "detector.thaw",
            subject=before.stratum,
            details={
                "evaluator_version": version,
                "reason": after.frozen.get(version, ""),
                "log_position": before.log_position,
                "believed_after": after.believed_after.get(version, -1),
            },
            at_s=now_s,
        )


def freeze_unhealthy(engine: Engine, *, clock: Callable[[], float]) -> int:
    """Freeze and thaw every stratum's detectors now; returns how many strata changed.

    A stratum that moves at the same time is left alone: whoever moves it does the same first.
    """
    with reading(engine) as connection:
        found = health.read_all(connection)
        stale = [
            key
            for key, text in detector_states(connection, limit=None)
            if frozen_as(state := decode_state(text), found) != state
        ]
    changed = 0
    for stratum in stale:
        with engine.begin() as connection:
            read = detectors.read_detector(connection, stratum)
            before = decode_state(read.state)
            after = frozen_as(before, found)
            text, now_s = encode_state(after), clock()
            if after != before and detectors.save_detector(
                connection, read, text, read.log_position, now_s=now_s
            ):
                audit_freezing(connection, before, after, now_s=now_s)
                changed += 1
    return changed


def readable(
    entries: Sequence[LoggedVerdict], found: Health, *, now_s: float, patience_s: float
) -> list[LoggedVerdict]:
    """The entries up to the first failure that health has yet to judge.

    A failed evaluation waits until a look has covered it and found the evaluator not suspect; if the
    evaluator turns out ill instead, it is frozen before its failures are read. None waits longer
    than `patience_s`. Without a stored health, as where no watch runs, nothing waits.
    """
    taken: list[LoggedVerdict] = []
    for entry in entries:
        known = found.get(entry.evaluator_version)
        judged = (
            known is None
            or known.unhealthy
            or (known.suspect_since_s is None and entry.log_position <= known.log_position)
        )
        if _failed(entry) and not judged and now_s < entry.scored_at_s + patience_s:
            break
        taken.append(entry)
    return taken


def _failed(entry: LoggedVerdict) -> bool:
    if entry.outcomes is None:
        return False
    return set(decode_outcomes(entry.outcomes).values()) != {Outcome.ANSWERED}
