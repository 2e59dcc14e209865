"""`/`: honesty of each assistant over time, what happened meanwhile, and what waits for a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection

from evidence import Alarm, AlarmState, AlarmSubject
from monitor.console.chart import Chart, Mark, drawn
from monitor.console.context import ConsoleContext
from monitor.console.frame import (
    RANGES,
    ConsoleRoute,
    View,
    assistants_of,
    chosen,
    page,
    view_of,
)
from monitor.console.session import SignedIn, Viewer
from monitor.console.timeline import Timeline, first_seen
from monitor.http.access import Principal, Scope
from monitor.store import reading
from monitor.store.gate_queues import waiting_reviews
from monitor.store.labels import audited_verdicts
from monitor.store.pages import AlarmFilter, Page, list_alarms
from monitor.store.sensors import accuracies
from monitor.store.timeline import MadeDecision, StepCount, decisions_between
from monitor.telemetry import CohortState, DetectorReading, OwnActs, State, StratumFigures

_CHARTS = 6
_MARKS = 200
_WAITING = 100


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One assistant as the overview shows it."""

    name: str
    chart: Chart
    strata: tuple[StratumFigures, ...]
    detectors: tuple[DetectorReading, ...]
    cohort: CohortState | None
    acts: OwnActs | None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for a person."""

    alarms: tuple[Alarm, ...]
    rows_to_read: int
    more_rows: bool
    runs: int
    unattested: tuple[tuple[str, str, int], ...] = ()


def router(context: ConsoleContext) -> APIRouter:
    """The one page."""
    routes = APIRouter(route_class=ConsoleRoute, include_in_schema=False)
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)
    timeline = Timeline(context.clock)

    @routes.get("/")
    def overview(
        request: Request,
        view: Annotated[View, Depends(view_of)],
        viewer: Viewer = signed_in,
    ) -> Response:
        state = context.state(viewer.principal)
        names = assistants_of(state, viewer)
        view = chosen(view, viewer, names)
        shown = [view.assistant] if view.assistant else names
        width_s = RANGES[view.range][1]
        start_s, end_s = view.period(context.clock())
        with reading(context.engine) as connection:
            counts = timeline.counts(connection, start_s, end_s, width_s)
            alarms = _alarms(connection, viewer.principal, start_s, end_s)
            decisions = decisions_between(connection, start_s=start_s, end_s=end_s, limit=_MARKS)
            measured = accuracies(connection)
            audited = audited_verdicts(
                connection,
                # Whole steps, as the verdicts that the labels stand for are counted.
                since_s=min(counts) * width_s,
                until_s=(max(counts) + 1) * width_s,
                assistants=shown[:_CHARTS],
            )
            waiting = _waiting(connection, state, viewer, view)
        assistants = []
        for name in shown[:_CHARTS]:
            marks = _marks(name, counts, width_s, alarms, decisions)
            steps = timeline.curve(counts, width_s, name, view.stratum, measured)
            audits = timeline.audits(counts, width_s, name, view.stratum, audited)
            chart = drawn(steps, marks, start_s, end_s, width_s, audits=audits)
            assistants.append(_shown(name, state, view, chart))
        return page(
            request,
            viewer,
            "overview.html",
            view=view,
            assistants=names,
            strata=[s.stratum.key for s in state.strata if s.stratum.assistant == view.assistant],
            shown=assistants,
            hidden=shown[_CHARTS:],
            waiting=waiting,
            state=state,
            fixed=view.link("/", until=_iso(end_s)),
            address=str(request.base_url).rstrip("/"),
            now=_iso(context.clock()),
        )

    return routes


def _shown(name: str, state: State, view: View, chart: Chart) -> Shown:
    strata = [s for s in state.strata if s.stratum.assistant == name]
    detectors = [d for d in state.detectors if d.stratum.assistant == name]
    if view.stratum is not None:
        strata = [s for s in strata if s.stratum.key == view.stratum]
        detectors = [d for d in detectors if d.stratum.key == view.stratum]
    return Shown(
        name=name,
        chart=chart,
        strata=tuple(strata),
        detectors=tuple(detectors),
        cohort=next((c for c in state.cohorts if c.assistant == name), None),
        acts=next((a for a in state.own_acts if a.assistant == name), None),
    )


def _alarms(
    connection: Connection, principal: Principal, start_s: float, end_s: float
) -> list[Alarm]:
    seen = None if principal.assistants is None else sorted(principal.assistants)
    period = Page(since_s=start_s, until_s=end_s, limit=_MARKS)
    return list_alarms(connection, AlarmFilter(assistants=seen), period)


def _waiting(connection: Connection, state: State, viewer: Viewer, view: View) -> Waiting:
    open_states = (AlarmState.OPEN, AlarmState.ACKNOWLEDGED)
    alarms = [
        alarm
        for alarm in state.alarms
        if alarm.state in open_states and _concerns(alarm, view.assistant)
    ]
    rows = 0
    if viewer.reads_text():
        assistants = [view.assistant] if view.assistant else _all_of(viewer)
        rows = len(waiting_reviews(connection, assistants=assistants, limit=_WAITING + 1))
    return Waiting(
        alarms=tuple(alarms[:20]),
        rows_to_read=min(rows, _WAITING),
        more_rows=rows > _WAITING,
        unattested=tuple(
            one for one in state.unattested_versions if view.assistant in {None, one[0]}
        )[:20],
        runs=sum(
            run.state == "proposed" and view.assistant in (None, run.assistant)
            for run in state.confirm
        ),
    )


def _all_of(viewer: Viewer) -> list[str] | None:
    seen = viewer.principal.assistants
    return None if seen is None else sorted(seen)


def _marks(
    name: str,
    counts: dict[int, tuple[StepCount, ...]],
    width_s: float,
    alarms: Iterable[Alarm],
    decisions: Sequence[MadeDecision],
) -> list[Mark]:
    """What happened to an assistant, on its axis; trouble of an evaluator concerns all of them."""
    marks = [Mark(at_s, "version", model) for at_s, model in first_seen(counts, width_s, name)]
    for alarm in alarms:
        if not _concerns(alarm, name):
            continue
        kind = "evaluator" if alarm.subject is AlarmSubject.EVALUATOR else "alarm"
        link = f"/alarms/{quote(alarm.alarm_id, safe='')}"
        marks.append(Mark(alarm.opened_at_s, kind, f"{alarm.scope}: {alarm.claim}", link))
    marks += [
        Mark(d.created_at_s, "gate", d.answer, f"/retrain/{quote(d.decision_id, safe='')}")
        for d in decisions
        if d.assistant == name
    ]
    return marks


def _concerns(alarm: Alarm, assistant: str | None) -> bool:
    if assistant is None or alarm.subject is AlarmSubject.EVALUATOR:
        return True
    return alarm.scope.partition("/")[0] == assistant


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(int(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
