"""Moving alarms: acknowledged, confirmed or refuted, then closed, which lets their detector rise again."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from evidence import Alarm, AlarmState, AlarmSubject, BadInputError
from evidence.person import Person
from monitor.detect.health import close_health, decode_health, encode_health, unhealthy
from monitor.detect.options import DetectionOptions
from monitor.detect.records import decode_state, encode_state
from monitor.detect.stratum import close
from monitor.services.claims import claim_after
from monitor.services.person import Sees, sees_all
from monitor.store import alarms as store
from monitor.store import audit, detectors, health, outbox
from monitor.store.alarms import UnknownAlarmError
from monitor.store.health import StoredHealth
from monitor.store.outbox import ALARMS_TOPIC

TRANSITIONS: dict[AlarmState, frozenset[AlarmState]] = {
    AlarmState.OPEN: frozenset({AlarmState.ACKNOWLEDGED, AlarmState.CONFIRMED, AlarmState.REFUTED}),
    AlarmState.ACKNOWLEDGED: frozenset({AlarmState.CONFIRMED, AlarmState.REFUTED}),
    AlarmState.CONFIRMED: frozenset({AlarmState.REFUTED, AlarmState.CLOSED}),
    AlarmState.REFUTED: frozenset({AlarmState.CONFIRMED, AlarmState.CLOSED}),
    AlarmState.CLOSED: frozenset(),
}
"""Only closing releases what an alarm holds, and only what was judged may be closed."""

_SHOWN = 5


class TransitionError(BadInputError):
    """The alarm's state does not allow this step."""


def find_alarm(connection: Connection, prefix: str) -> Alarm:
    """The one alarm whose id is, or begins with, `prefix`.

    Raises UnknownAlarmError when none does, BadInputError when several do.
    """
    found = store.alarms_like(connection, prefix, limit=_SHOWN) if prefix else []
    if prefix in found:
        found = [prefix]
    if not found:
        raise UnknownAlarmError(f"no alarm has the id {prefix!r}", "alarm_id")
    if len(found) > 1:
        raise BadInputError(f"several alarms begin so: {', '.join(found)}", prefix)
    return store.get_alarm(connection, found[0])


def visible_alarm(connection: Connection, alarm_id: str, sees: Sees) -> Alarm:
    """The alarm; one of an assistant that is not to be seen is as absent as one that does not exist.

    Raises UnknownAlarmError.
    """
    alarm = store.get_alarm(connection, alarm_id)
    if not is_seen(alarm, sees):
        raise UnknownAlarmError(f"no alarm has the id {alarm_id!r}", "alarm_id")
    return alarm


def is_seen(alarm: Alarm, sees: Sees) -> bool:
    """Whether an alarm may be seen; an evaluator's concerns every assistant."""
    return alarm.subject is AlarmSubject.EVALUATOR or sees(alarm.scope.partition("/")[0])


def transition(
    connection: Connection,
    alarm_id: str,
    to_state: AlarmState,
    by: Person,
    *,
    reason: str,
    options: DetectionOptions,
    now_s: float,
    sees: Sees = sees_all,
) -> Alarm:
    """Move an alarm, with what it may then claim: recorded, audited and announced in this transaction.

    An acknowledged alarm that is acknowledged again stays as it is. Of two people who move one alarm
    at once one succeeds. Closing releases the detector or check that raised it.
    Raises UnknownAlarmError or TransitionError.
    """
    before = visible_alarm(connection, alarm_id, sees)
    if before.state is to_state is AlarmState.ACKNOWLEDGED:
        return before
    if to_state not in TRANSITIONS[before.state]:
        allowed = sorted(state.value for state in TRANSITIONS[before.state])
        steps = " or ".join(allowed) if allowed else "nothing further"
        raise TransitionError(
            f"an alarm that is {before.state.value} cannot become {to_state.value}, only {steps}",
            "alarm_id",
        )
    after = msgspec.structs.replace(claim_after(connection, before, to_state), state=to_state)
    if not store.move(connection, before, after, by=by.signed, reason=reason, at_s=now_s):
        raise TransitionError("someone else moved this alarm just now; read it again", "alarm_id")
    details = {
        "from": before.state.value,
        "to": to_state.value,
        "reason": reason,
        "claim": after.claim,
    }
    audit.append(
        connection,
        by=by.signed,
        action=f"alarm.{to_state}",
        subject=alarm_id,
        details=details,
        at_s=now_s,
    )
    key = before.scope.encode("utf-8", "surrogatepass")
    outbox.add(connection, ALARMS_TOPIC, [(key, msgspec.json.encode(after))], now_s=now_s)
    if to_state is AlarmState.CLOSED:
        release(connection, after, options, now_s)
    return after


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
