"""Alarms as people move them: acknowledged, confirmed or refuted, then closed; every step recorded."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, insert, select, update

from evidence import Alarm, AlarmState, BadInputError
from monitor.store import audit, outbox
from monitor.store.confirmation import claim_after
from monitor.store.schema import alarm_events, alarms

TRANSITIONS: dict[AlarmState, frozenset[AlarmState]] = {
    AlarmState.OPEN: frozenset({AlarmState.ACKNOWLEDGED, AlarmState.CONFIRMED, AlarmState.REFUTED}),
    AlarmState.ACKNOWLEDGED: frozenset({AlarmState.CONFIRMED, AlarmState.REFUTED}),
    AlarmState.CONFIRMED: frozenset({AlarmState.REFUTED, AlarmState.CLOSED}),
    AlarmState.REFUTED: frozenset({AlarmState.CONFIRMED, AlarmState.CLOSED}),
    AlarmState.CLOSED: frozenset(),
}
"""Only closing releases what an alarm holds, and only what was judged may be closed."""


class UnknownAlarmError(BadInputError):
    """No alarm has this id."""


class TransitionError(BadInputError):
    """The alarm's state does not allow this step."""


class AlarmEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One step in an alarm's life."""

    from_state: str | None
    to_state: str
    by: str
    reason: str
    at_s: float


def list_alarms(
    connection: Connection,
    *,
    states: Sequence[AlarmState] = (),
    scope: str | None = None,
    limit: int = 100,
) -> list[Alarm]:
    """Alarms, newest first; of the given states, or of all when none is given."""
    query = select(alarms.c.record, alarms.c.state).order_by(
        alarms.c.opened_at_s.desc(), alarms.c.alarm_id
    )
    if states:
        query = query.where(alarms.c.state.in_([state.value for state in states]))
    if scope is not None:
        query = query.where(alarms.c.scope == scope)
    return [as_stored(row.record, row.state) for row in connection.execute(query.limit(limit))]


def get_alarm(connection: Connection, alarm_id: str) -> Alarm:
    """One alarm. Raises UnknownAlarmError."""
    query = select(alarms.c.record, alarms.c.state).where(alarms.c.alarm_id == alarm_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UnknownAlarmError(f"no alarm has the id {alarm_id!r}", "alarm_id")
    return as_stored(row.record, row.state)


def events(connection: Connection, alarm_id: str) -> list[AlarmEvent]:
    """The steps of one alarm, oldest first."""
    query = select(alarm_events).where(alarm_events.c.alarm_id == alarm_id)
    return [
        AlarmEvent(
            from_state=row.from_state,
            to_state=row.to_state,
            by=row.by,
            reason=row.reason,
            at_s=row.at_s,
        )
        for row in connection.execute(query.order_by(alarm_events.c.id))
    ]


def transition(
    connection: Connection,
    alarm_id: str,
    to_state: AlarmState,
    *,
    by: str,
    reason: str,
    at_s: float,
    topic: str | None = None,
) -> Alarm:
    """Move an alarm, record the step, audit it and queue the new alarm for `topic`, in one transaction.

    What the alarm claims may change with it (`monitor.store.confirmation`). Two people who move the same alarm at once cannot both succeed: the state is compared as it is
    set. Raises UnknownAlarmError or TransitionError.
    """
    before = get_alarm(connection, alarm_id)
    if to_state not in TRANSITIONS[before.state]:
        allowed = sorted(state.value for state in TRANSITIONS[before.state])
        steps = " or ".join(allowed) if allowed else "nothing further"
        raise TransitionError(
            f"an alarm that is {before.state.value} cannot become {to_state.value}, only {steps}",
            "alarm_id",
        )
    after = msgspec.structs.replace(claim_after(connection, before, to_state), state=to_state)
    record = msgspec.json.encode(after)
    moved = connection.execute(
        update(alarms)
        .where(alarms.c.alarm_id == alarm_id, alarms.c.state == before.state.value)
        .values(state=to_state.value, changed_at_s=at_s, record=record.decode())
    )
    if moved.rowcount != 1:
        raise TransitionError("someone else moved this alarm just now; read it again", "alarm_id")
    connection.execute(
        insert(alarm_events).values(
            alarm_id=alarm_id,
            from_state=before.state.value,
            to_state=to_state.value,
            by=by,
            reason=reason,
            at_s=at_s,
        )
    )
    details = {
        "from": before.state.value,
        "to": to_state.value,
        "reason": reason,
        "claim": after.claim,
    }
    audit.append(
        connection, by=by, action=f"alarm.{to_state}", subject=alarm_id, details=details, at_s=at_s
    )
    if topic is not None:
        outbox.add(connection, topic, [(before.scope.encode(), record)], now_s=at_s)
    return after


def as_stored(record: str, state: str) -> Alarm:
    """The alarm of a row: its state is the column's, its record what opened it."""
    alarm = msgspec.json.decode(record, type=Alarm)
    return msgspec.structs.replace(alarm, state=AlarmState(state))
