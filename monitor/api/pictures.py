"""`GET /v1/report` and the pictures of an alarm: honesty with its band, evidence with its threshold."""

from __future__ import annotations

import math
from http import HTTPStatus
from io import BytesIO
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Path, Response
from sqlalchemy import Connection

from evidence import Alarm, AlarmSubject, VerdictKind
from evidence.e_detector import EDetector
from evidence.prevalence import corrected_honesty, tells_apart
from evidence.records import Accuracy, LoggedVerdict
from evidence.survey import score_rate_of, totals_of
from monitor.api.context import Context
from monitor.api.findings import read_report
from monitor.api.models import FindingOut, ReportOut, at_known
from monitor.api.review import visible_alarm
from monitor.detect.localise import since_of
from monitor.detect.scores import score_of
from monitor.http.access import Principal, Scope
from monitor.http.problems import ProblemError, documented
from monitor.http.routes import DoorRoute
from monitor.store import reading
from monitor.store.localisations import entries_around
from monitor.store.sensors import get_sensor
from monitor.telemetry.pictures import (
    EvidenceLine,
    Mark,
    ShareBand,
    draw_evidence,
    draw_share,
)

_PROBLEMS = documented(HTTPStatus.NOT_FOUND)
_BEFORE, _SINCE, _BINS = 3_000, 2_000, 48
_NAN = math.nan


def router(context: Context) -> APIRouter:
    """The joint report, and pictures."""
    routes = APIRouter(route_class=DoorRoute, prefix="/v1", responses=_PROBLEMS)
    may_read = Depends(context.access.require(Scope.READ))

    @routes.get("/report", tags=["alarms"], summary="Findings that may be reported together")
    def get_report(*, principal: Principal = may_read) -> ReportOut:
        """By e-values that are valid together; a key of some assistants sees those findings alone."""
        with reading(context.engine) as connection:
            found = read_report(connection)
        if found is None:
            level = context.settings.detection.report_level
            return ReportOut(made_at=None, level=level, streams=0, reported=[])
        stored, report = found
        return ReportOut(
            made_at=at_known(stored.made_at_s),
            level=report.level,
            streams=report.streams,
            reported=[
                FindingOut(**msgspec.structs.asdict(finding))
                for finding in report.reported
                if principal.sees(finding.stratum.partition("/")[0])
            ],
        )

    @routes.get(
        "/alarms/{alarm_id}/{kind}.png",
        tags=["alarms"],
        summary="A picture of an alarm",
        response_class=Response,
        responses={200: {"content": {"image/png": {}}}},
    )
    def get_picture(
        *,
        principal: Principal = may_read,
        alarm_id: str,
        kind: Annotated[Literal["honesty", "evidence"], Path()],
    ) -> Response:
        """Honesty with its band (the score rate where the sensor's accuracy was not measured), or
        evidence with its threshold, over time; PNG."""
        with reading(context.engine) as connection:
            alarm = visible_alarm(connection, principal, alarm_id)
            entries = _entries(connection, alarm)
            sensor = get_sensor(
                connection,
                alarm.details.get("evaluator_version", ""),
                alarm.scope.partition("/")[0],
            )
        if not entries:
            raise ProblemError(HTTPStatus.NOT_FOUND, "this alarm has no verdicts to draw")
        out = BytesIO()
        if kind == "honesty":
            _honesty(alarm, entries, sensor.accuracy if sensor else None, out)
        else:
            _evidence(alarm, entries, out)
        return Response(out.getvalue(), media_type="image/png")

    return routes


def _entries(connection: Connection, alarm: Alarm) -> list[LoggedVerdict]:
    if alarm.subject is not AlarmSubject.STRATUM or "evaluator_version" not in alarm.details:
        return []
    found = entries_around(
        connection,
        alarm.scope,
        alarm.details["evaluator_version"],
        position=since_of(alarm),
        before=_BEFORE,
        since=_SINCE,
        with_text=False,
    )
    return [item.entry for item in found]


def _evidence(alarm: Alarm, entries: list[LoggedVerdict], out: BytesIO) -> None:
    """How the evidence of the ranks moved, as the alarm tells it; else the detector of the mean, run again
    over the scores that it had read when it alarmed, and those since."""
    trace = alarm.details.get("trace")
    if trace:
        line = EvidenceLine(alarm.metric, [float(n) for n, _ in trace], [v for _, v in trace])
        marks = [Mark(float(alarm.n), "alarm")]
        draw_evidence([line], alarm.log_threshold, out, marks=marks)
        return
    scored = [(e, s) for e in entries if (s := score_of(alarm.metric, e)) is not None]
    read = sum(e.log_position <= alarm.log_position for e, _ in scored)
    scored = scored[max(0, read - alarm.n) :]
    detector = EDetector(
        alarm.reference or 0.0,
        float(alarm.details["average_run_length"]),
        float(alarm.details["tolerance"]),
    )
    values = []
    for _, score in scored:
        detector.update(score)
        values.append(detector.log_evidence)
    first = max(0, alarm.n - read)
    samples = [float(first + i + 1) for i in range(len(values))]
    draw_evidence(
        [EvidenceLine(alarm.metric, samples, values)],
        detector.log_threshold,
        out,
        marks=[Mark(float(alarm.n), "alarm")],
    )


def _honesty(
    alarm: Alarm, entries: list[LoggedVerdict], accuracy: Accuracy | None, out: BytesIO
) -> None:
    """Honesty, else the score rate, in equal stretches of time; one without verdicts is a gap."""
    start, end = entries[0].scored_at_s, entries[-1].scored_at_s
    width = max((end - start) / _BINS, 1e-9)
    bins: list[list[tuple[VerdictKind, float]]] = [[] for _ in range(_BINS)]
    for entry in entries:
        place = min(int((entry.scored_at_s - start) / width), _BINS - 1)
        bins[place].append((entry.kind, entry.inclusion_probability))
    totals = [totals_of(verdicts) for verdicts in bins]
    known = accuracy is not None and tells_apart(accuracy)
    found = [corrected_honesty([(t, accuracy)]) if known else score_rate_of(t) for t in totals]
    band = ShareBand(
        name="honesty" if known else "score rate",
        times_s=[start + (i + 0.5) * width for i in range(_BINS)],
        **{
            name: [_or_nan(getattr(f, name, None)) for f in found]
            for name in ("value", "lower", "upper", "worst", "best")
        },
    )
    since = alarm.details.get("since")
    marks = [Mark(alarm.opened_at_s, "alarm")]
    marks += [Mark(float(since["at_s"]), "since")] if since else []
    draw_share(band, out, marks=marks)


def _or_nan(value: float | None) -> float:
    return _NAN if value is None else value
