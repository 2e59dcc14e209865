"""What closing an alarm releases: the detector's latch, so that it can rise again."""

from __future__ import annotations

from sqlalchemy import Connection

from evidence import Alarm, AlarmSubject
from monitor.detect import DetectionOptions, close, decode_state, encode_state
from monitor.store import audit, detectors
from monitor.store.alarms import TransitionError


def release(connection: Connection, alarm: Alarm, options: DetectionOptions, now_s: float) -> None:
    """Start the closed alarm's detectors anew, in the transaction that closes it.

    The log position at which that happens is audited, so that a replay of the verdict log can do the
    same. Population alarms are released by the next cohort refresh, evaluator alarms by the check.
    Raises TransitionError when the detector moved in between: close it again.
    """
    if alarm.subject is not AlarmSubject.STRATUM:
        return
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
