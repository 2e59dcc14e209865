"""The one leased reporter: which of the findings may be reported together, at the configured level."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlalchemy import Engine

from monitor.detect.options import DetectionOptions
from monitor.detect.records import decode_state
from monitor.detect.report import JointReport, joint_report
from monitor.store import leases, reports
from monitor.store.engine import reading
from monitor.store.status import detector_states

_LEASE = "reporter"
_LEASE_S = 120.0
_MOST_STRATA = 100_000


class Reporter:
    """Call `report` every `detection.report_s`; of several processes one reports.

    Parameters
    ----------
    owner
        This process, as the lease's owner.
    """

    def __init__(
        self, engine: Engine, *, options: DetectionOptions, owner: str, clock: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._options = options
        self._owner = owner
        self._clock = clock

    def report(self) -> JointReport | None:
        """The report of this moment, stored if other streams are in it than before; None if not leading."""
        now_s = self._clock()
        with self._engine.begin() as connection:
            fence = leases.acquire(
                connection, _LEASE, self._owner, now_s=now_s, duration_s=_LEASE_S
            )
        if fence is None:
            return None
        with reading(self._engine) as connection:
            stored = detector_states(connection, limit=_MOST_STRATA)
            before = reports.newest_report(connection)
        states = [decode_state(text) for _, text in stored]
        made = joint_report(states, level=self._options.report_level)
        if before is None or _who(_decode(before.record)) != _who(made):
            with self._engine.begin() as connection:
                reports.save_report(
                    connection,
                    msgspec.json.encode(made).decode(),
                    level=made.level,
                    now_s=now_s,
                )
        return made


def _decode(record: str) -> JointReport:
    return msgspec.json.decode(record, type=JointReport)


def _who(report: JointReport) -> tuple[object, ...]:
    named = sorted((f.stratum, f.metric, f.alarm_id or "") for f in report.reported)
    return (report.level, report.streams, *named)
