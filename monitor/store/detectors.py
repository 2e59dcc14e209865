"""Detector states, moved by compare-and-set together with their log position and alarms."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from evidence import Alarm, AlarmState
from monitor.store.dialect import insert_new
from monitor.store.schema import alarm_events, alarms, detectors, outbox, verdict_log


class StoredDetector(msgspec.Struct, frozen=True):
    """A stratum's detectors as stored; `version` 0 and an empty state before the first write."""

    stratum: str
    state: str
    log_position: int
    version: int


def read_detector(connection: Connection, stratum: str) -> StoredDetector:
    """The stored state of a stratum's detectors."""
    row = connection.execute(select(detectors).where(detectors.c.stratum == stratum)).one_or_none()
    if row is None:
        return StoredDetector(stratum, "", 0, 0)
    return StoredDetector(stratum, row.state, row.log_position, row.version)


def save_detector(
    connection: Connection, read: StoredDetector, state: str, log_position: int, *, now_s: float
) -> bool:
    """Write the next state if nobody wrote since `read`; False when somebody did."""
    values = {"state": state, "log_position": log_position, "updated_at_s": now_s}
    if read.version == 0:
        row = {"stratum": read.stratum, "version": 1, **values}
        return bool(insert_new(connection, detectors, [row], [detectors.c.version]))
    written = connection.execute(
        update(detectors)
        .where(detectors.c.stratum == read.stratum, detectors.c.version == read.version)
        .values(version=read.version + 1, **values)
    )
    return written.rowcount == 1


def behind(connection: Connection) -> list[str]:
    """Strata whose log goes on after what their detectors have read."""
    table = verdict_log.c
    # From stratum to stratum by the index: as many steps as there are strata, however long the log is.
    found = select(func.min(table.stratum).label("stratum")).cte("found", recursive=True)
    after = select(func.min(table.stratum)).where(table.stratum > found.c.stratum)
    found = found.union_all(select(after.scalar_subquery()).where(found.c.stratum.is_not(None)))
    newest = select(func.max(table.id)).where(table.stratum == found.c.stratum).scalar_subquery()
    query = (
        select(found.c.stratum)
        .outerjoin(detectors, detectors.c.stratum == found.c.stratum)
        .where(
            found.c.stratum.is_not(None),
            newest > func.coalesce(detectors.c.log_position, 0),
        )
    )
    return sorted(connection.execute(query).scalars())


def latch(
    connection: Connection, raised: Iterable[Alarm], *, by: str, topic: str | None, now_s: float
) -> list[Alarm]:
    """Open alarms that are not known yet and queue them for `topic`; returns the new ones."""
    opened = []
    for alarm in sorted(raised, key=lambda alarm: alarm.alarm_id):
        record = msgspec.json.encode(alarm)
        row = {
            "alarm_id": alarm.alarm_id,
            "subject": alarm.subject.value,
            "scope": alarm.scope,
            "metric": alarm.metric,
            "state": AlarmState.OPEN.value,
            "opened_at_s": alarm.opened_at_s,
            "changed_at_s": now_s,
            "record": record.decode(),
        }
        if not insert_new(connection, alarms, [row], [alarms.c.alarm_id]):
            continue
        connection.execute(
            insert(alarm_events).values(
                alarm_id=alarm.alarm_id,
                from_state=None,
                to_state=AlarmState.OPEN.value,
                by=by,
                reason=alarm.claim,
                at_s=now_s,
            )
        )
        if topic is not None:
            connection.execute(
                insert(outbox).values(
                    topic=topic, key=alarm.scope.encode(), value=record, created_at_s=now_s
                )
            )
        opened.append(alarm)
    return opened
