"""The one leased reporter: which of the findings may be reported together, at the configured level."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import msgspec
from sqlalchemy import Engine

from evidence import Alarm
from monitor.detect.options import DetectionOptions
from monitor.detect.records import decode_state
from monitor.detect.report import JointReport, joint_report
from monitor.jobs.job import LeasedJob
from monitor.store import reports
from monitor.store.engine import reading
from monitor.store.status import detector_states

_MOST_STRATA = 100_000


class Reporter(LeasedJob):
    """The report of each moment, stored if other streams are in it than before."""

    name: ClassVar[str] = "report"

    def __init__(
        self, engine: Engine, *, options: DetectionOptions, owner: str, clock: Callable[[], float]
    ) -> None:
        super().__init__(engine, owner=owner, clock=clock)
        self._options = options

    def _work(self) -> list[Alarm]:
        with reading(self._engine) as connection:
            stored = detector_states(connection, limit=_MOST_STRATA)
            before = reports.newest_report(connection)
        states = [decode_state(text) for _, text in stored]
        made = joint_report(states, level=self._options.report_level)
        if before is None or _who(_decode(before.record)) != _who(made):
            with self._lease.writing() as connection:
                reports.save_report(
                    connection,
                    msgspec.json.encode(made).decode(),
                    level=made.level,
                    now_s=self._clock(),
                )
        return []


def _decode(record: str) -> JointReport:
    return msgspec.json.decode(record, type=JointReport)


def _who(report: JointReport) -> tuple[object, ...]:
    named = sorted((f.stratum, f.metric, f.alarm_id or "") for f in report.reported)
    return (report.level, report.streams, *named)
