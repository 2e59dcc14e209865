"""Alarms as stored, and every step in their lives."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, insert, select, update

from evidence import Alarm, AlarmState, BadInputError
from monitor.store.schema import alarm_events, alarms

_UNSETTLED = [state.value for state in AlarmState if state is not AlarmState.CLOSED]


class UnknownAlarmError(BadInputError):
    """No alarm has this id."""


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


def unsettled_alarms(connection: Connection) -> list[Alarm]:
    """Every alarm that is not closed, by id."""
    query = select(alarms.c.record, alarms.c.state).where(alarms.c.state.in_(_UNSETTLED))
    rows = connection.execute(query.order_by(alarms.c.alarm_id))
    return [as_stored(row.record, row.state) for row in rows]


def alarms_like(connection: Connection, prefix: str, *, limit: int) -> list[str]:
    """Ids that begin with a text."""
    query = select(alarms.c.alarm_id).where(alarms.c.alarm_id.startswith(prefix, autoescape=True))
    return list(connection.execute(query.order_by(alarms.c.alarm_id).limit(limit)).scalars())


def move(
    connection: Connection, before: Alarm, after: Alarm, *, by: str, reason: str, at_s: float
) -> bool:
    """Write an alarm's next state with the step that led to it; False when somebody moved it since `before`."""
    moved = connection.execute(
        update(alarms)
        .where(alarms.c.alarm_id == before.alarm_id, alarms.c.state == before.state.value)
        .values(
            state=after.state.value,
            changed_at_s=at_s,
            record=msgspec.json.encode(after).decode(),
        )
    )
    if moved.rowcount != 1:
        return False
    connection.execute(
        insert(alarm_events).values(
            alarm_id=before.alarm_id,
            from_state=before.state.value,
            to_state=after.state.value,
            by=by,
            reason=reason,
            at_s=at_s,
        )
    )
    return True


def as_stored(record: str, state: str) -> Alarm:
    """The alarm of a row: its state is the column's, its record what opened it."""
    alarm = msgspec.json.decode(record, type=Alarm)
    return msgspec.structs.replace(alarm, state=AlarmState(state))
