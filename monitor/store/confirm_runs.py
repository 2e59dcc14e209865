"""Confirm runs in the store: requested, started, finished, and what they may cost in a day."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from evidence import AlarmState, AlarmSubject
from monitor.store.schema import alarms, confirm_runs

PROPOSED, WAITING, RUNNING, DONE, FAILED = "proposed", "waiting", "running", "done", "failed"
CANCELLING, CANCELLED = "cancelling", "cancelled"


class ConfirmRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run as stored. Times are seconds since the epoch."""

    run_id: str
    assistant: str
    alarm_id: str | None
    state: str
    requested_at_s: float
    started_at_s: float | None
    finished_at_s: float | None
    directory: str | None
    error: str | None


class OpenAlarm(msgspec.Struct, frozen=True):
    """An alarm that may start a run."""

    alarm_id: str
    scope: str
    opened_at_s: float


_COLUMNS = [getattr(confirm_runs.c, name) for name in ConfirmRun.__struct_fields__]


def runs(connection: Connection, *, states: tuple[str, ...] = ()) -> list[ConfirmRun]:
    """Runs by time of request; of the given states, or all."""
    query = select(*_COLUMNS).order_by(confirm_runs.c.requested_at_s, confirm_runs.c.run_id)
    if states:
        query = query.where(confirm_runs.c.state.in_(states))
    return [ConfirmRun(**row) for row in connection.execute(query).mappings()]


def get_run(connection: Connection, run_id: str) -> ConfirmRun | None:
    """One run, or None."""
    query = select(*_COLUMNS).where(confirm_runs.c.run_id == run_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else ConfirmRun(**row)


def add_run(
    connection: Connection,
    run_id: str,
    assistant: str,
    *,
    alarm_id: str | None,
    state: str,
    now_s: float,
) -> None:
    """Record a requested run."""
    connection.execute(
        insert(confirm_runs).values(
            run_id=run_id,
            assistant=assistant,
            alarm_id=alarm_id,
            state=state,
            requested_at_s=now_s,
        )
    )


def move(
    connection: Connection,
    run_id: str,
    from_states: tuple[str, ...],
    to_state: str,
    *,
    started_at_s: float | None = None,
    finished_at_s: float | None = None,
    directory: str | None = None,
    report: str | None = None,
    error: str | None = None,
) -> bool:
    """Change a run's state if it is one of `from_states`; False when another process was first."""
    given = {
        "started_at_s": started_at_s,
        "finished_at_s": finished_at_s,
        "directory": directory,
        "report": report,
        "error": error,
    }
    values = {name: value for name, value in given.items() if value is not None}
    moved = connection.execute(
        update(confirm_runs)
        .where(confirm_runs.c.run_id == run_id, confirm_runs.c.state.in_(from_states))
        .values(state=to_state, **values)
    )
    return moved.rowcount == 1


def started_since(connection: Connection, since_s: float) -> int:
    """Runs that started after a time: what the daily budget counts."""
    query = select(func.count()).where(confirm_runs.c.started_at_s >= since_s)
    return int(connection.execute(query).scalar_one())


def open_alarms(connection: Connection) -> list[OpenAlarm]:
    """Open and acknowledged alarms about responses or raters, oldest first.

    An evaluator's alarm starts nothing: retraining would not mend it.
    """
    query = (
        select(alarms.c.alarm_id, alarms.c.scope, alarms.c.opened_at_s)
        .where(
            alarms.c.state.in_((AlarmState.OPEN.value, AlarmState.ACKNOWLEDGED.value)),
            alarms.c.subject != AlarmSubject.EVALUATOR.value,
        )
        .order_by(alarms.c.opened_at_s, alarms.c.alarm_id)
    )
    return [OpenAlarm(*row) for row in connection.execute(query)]


def reports_for(connection: Connection, alarm_id: str) -> list[tuple[str, str]]:
    """Run id and report (JSON) of the finished runs of an alarm, newest first."""
    table = confirm_runs.c
    query = (
        select(table.run_id, table.report)
        .where(table.alarm_id == alarm_id, table.state == DONE, table.report.is_not(None))
        .order_by(table.finished_at_s.desc())
    )
    return [(row.run_id, row.report) for row in connection.execute(query)]


def report_of(connection: Connection, run_id: str) -> str | None:
    """The report (JSON) of one run, or None."""
    query = select(confirm_runs.c.report).where(confirm_runs.c.run_id == run_id)
    return connection.execute(query).scalar()


def newest_report(connection: Connection, assistant: str) -> str | None:
    """The report (JSON) of the assistant's newest finished run, or None."""
    query = (
        select(confirm_runs.c.report)
        .where(confirm_runs.c.assistant == assistant, confirm_runs.c.state == DONE)
        .order_by(confirm_runs.c.finished_at_s.desc())
        .limit(1)
    )
    return connection.execute(query).scalar()
