"""What closing an alarm releases: the detector's or the evaluator's latch, so that it can rise again."""

from __future__ import annotations

from sqlalchemy import Connection

from evidence import Alarm, AlarmSubject
from monitor.detect.health import close_health, decode_health, encode_health, unhealthy
from monitor.detect.options import DetectionOptions
from monitor.detect.records import decode_state, encode_state
from monitor.detect.stratum import close
from monitor.store import audit, detectors, health
from monitor.store.alarms import TransitionError
from monitor.store.health import StoredHealth


def release(connection: Connection, alarm: Alarm, options: DetectionOptions, now_s: float) -> None:
    """Start the closed alarm's detectors or check anew, in the transaction that closes it.

    The log position at which that happens is audited, so that a replay of the verdict log can do the
    same. Detectors that were frozen with an evaluator go on with the next verdict. Population alarms
    are released by the next cohort refresh. Raises TransitionError when the state moved in between:
    close it again.
    """
    if alarm.subject is AlarmSubject.STRATUM:
        _release_stratum(connection, alarm, options, now_s)
    elif alarm.subject is AlarmSubject.EVALUATOR:
        _release_evaluator(connection, alarm, now_s)


def _release_evaluator(connection: Connection, alarm: Alarm, now_s: float) -> None:
    stored = health.read_all(connection).get(alarm.scope)
    if stored is None:
        return
    state = decode_health(stored.state)
    if state.latched.get(alarm.metric) != alarm.alarm_id:
        return
    state = close_health(state, alarm.metric)
    new = StoredHealth(
        evaluator_version=stored.evaluator_version,
        state=encode_health(state),
        unhealthy=tuple(unhealthy(state)),
        suspect_since_s=state.suspect_since_s,
        # What it judged until now stays unread by the detectors that it froze.
        log_position=health.log_end(connection),
    )
    if not health.save(connection, stored, new, now_s=now_s):
        raise TransitionError("the evaluator was looked at just now; try again", "alarm_id")
    audit.append(
        connection,
        by="candor",
        action="evaluator.release",
        subject=alarm.scope,
        details={"alarm_id": alarm.alarm_id, "check": alarm.metric},
        at_s=now_s,
    )


def _release_stratum(
    connection: Connection, alarm: Alarm, options: DetectionOptions, now_s: float
) -> None:
    read = detectors.read_detector(connection, alarm.scope)
    if not read.state:
        return
    state = decode_state(read.state)
    if state.latched.get(alarm.metric) != alarm.alarm_id:
        return
    text = encode_state(close(state, alarm.metric, options=options))
    if not detectors.save_detector(connection, read, text, read.log_position, now_s=now_s):
        raise TransitionError("the detector moved just now; try again", "alarm_id")
    audit.append(
        connection,
        by="candor",
        action="detector.release",
        subject=alarm.scope,
        details={
            "alarm_id": alarm.alarm_id,
            "metric": alarm.metric,
            "log_position": read.log_position,
        },
        at_s=now_s,
    )
