"""What an alarm rests on, in pictures, and which findings may be reported together."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from evidence import Alarm, AlarmSubject
from monitor.detect.report import JointReport
from monitor.store.reports import StoredReport, newest_report

KINDS = ("honesty", "evidence")
"""Pictures of a stratum's alarm."""


def read_report(connection: Connection) -> tuple[StoredReport, JointReport] | None:
    """The newest joint report; None before the first."""
    stored = newest_report(connection)
    if stored is None:
        return None
    return stored, msgspec.json.decode(stored.record, type=JointReport)


def reported_alarms(connection: Connection) -> frozenset[str]:
    """Alarms that the newest joint report names."""
    found = read_report(connection)
    return frozenset() if found is None else found[1].alarm_ids


def pictures_of(alarm: Alarm) -> list[str]:
    """Addresses of an alarm's pictures; only a stratum's alarm has some."""
    if alarm.subject is not AlarmSubject.STRATUM:
        return []
    return [f"/v1/alarms/{alarm.alarm_id}/{kind}.png" for kind in KINDS]
