"""What alarms are about, as stored, and the verdicts that it is read from."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, and_, func, select, update

from evidence import Response
from evidence.records import LoggedVerdict
from monitor.store.dialect import insert_new
from monitor.store.intake import unpack_body
from monitor.store.schema import localisations, responses, verdict_log, verdicts
from monitor.store.verdicts import LOGGED, logged


class LocatedEntry(msgspec.Struct, frozen=True):
    """A log entry with its verdict's key and its response; None where that is not kept."""

    entry: LoggedVerdict
    key: str
    response_id: str
    response: Response | None


def read_localisation(connection: Connection, alarm_id: str) -> str | None:
    """The record of an alarm; None before the first."""
    query = select(localisations.c.record).where(localisations.c.alarm_id == alarm_id)
    return connection.execute(query).scalar()


def save_localisation(connection: Connection, alarm_id: str, record: str, *, now_s: float) -> None:
    """Keep the record of an alarm in place of an older one."""
    row = {"alarm_id": alarm_id, "record": record, "updated_at_s": now_s}
    if not insert_new(connection, localisations, [row], [localisations.c.alarm_id]):
        connection.execute(
            update(localisations)
            .where(localisations.c.alarm_id == alarm_id)
            .values(record=record, updated_at_s=now_s)
        )


def count_after(connection: Connection, stratum: str, evaluator_version: str, *, after: int) -> int:
    """Logged verdicts of a stratum by one evaluator after a position."""
    query = (
        select(func.count())
        .select_from(verdict_log.join(verdicts, verdicts.c.key == verdict_log.c.verdict_key))
        .where(
            verdict_log.c.stratum == stratum,
            verdict_log.c.id > after,
            verdicts.c.evaluator_version == evaluator_version,
        )
    )
    return int(connection.execute(query).scalar_one())


def entries_around(
    connection: Connection,
    stratum: str,
    evaluator_version: str,
    *,
    position: int,
    before: int,
    since: int,
    with_text: bool,
) -> list[LocatedEntry]:
    """Up to `before` entries before a log position and up to `since` from it on, in log order."""
    same = and_(
        responses.c.assistant == verdicts.c.assistant,
        responses.c.response_id == verdicts.c.response_id,
    )
    columns = [verdict_log.c.id, verdicts.c.key, verdicts.c.response_id, *LOGGED]
    joined = verdict_log.join(verdicts, verdicts.c.key == verdict_log.c.verdict_key)
    if with_text:
        joined = joined.outerjoin(responses, same)
        columns.append(responses.c.body)
    query = (
        select(*columns)
        .select_from(joined)
        .where(verdict_log.c.stratum == stratum, verdicts.c.evaluator_version == evaluator_version)
    )
    older = query.where(verdict_log.c.id < position).order_by(verdict_log.c.id.desc())
    newer = query.where(verdict_log.c.id >= position).order_by(verdict_log.c.id)
    rows = [*reversed(connection.execute(older.limit(before)).mappings().all())]
    rows += connection.execute(newer.limit(since)).mappings()
    return [
        LocatedEntry(
            logged(row, row["id"]),
            row["key"],
            row["response_id"],
            unpack_body(row["body"]) if with_text and row["body"] else None,
        )
        for row in rows
    ]
