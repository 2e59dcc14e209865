"""Joint reports as stored: one row whenever what is reported changes."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, insert, select

from monitor.store.schema import joint_reports


class StoredReport(msgspec.Struct, frozen=True):
    """A report as JSON, and when it was first made."""

    made_at_s: float
    record: str


def newest_report(connection: Connection) -> StoredReport | None:
    """The report that holds now; None before the first."""
    query = select(joint_reports.c.made_at_s, joint_reports.c.record)
    row = connection.execute(query.order_by(joint_reports.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else StoredReport(row.made_at_s, row.record)


def save_report(connection: Connection, record: str, *, level: float, now_s: float) -> None:
    """Keep a report."""
    connection.execute(insert(joint_reports).values(made_at_s=now_s, level=level, record=record))
