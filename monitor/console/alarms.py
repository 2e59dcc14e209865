"""`/alarms`: what each claims and what not, where and since when, what to read, and the step that a person takes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from evidence import Alarm, AlarmState, AlarmSubject
from monitor.console.chart import Chart, Mark, drawn
from monitor.console.context import ConsoleContext
from monitor.console.frame import (
    DAY_S,
    ConsoleRoute,
    View,
    assistants_of,
    back_to,
    check_one_of,
    chosen,
    page,
    view_of,
)
from monitor.console.session import Form, SignedIn, Viewer, read_act
from monitor.console.timeline import Timeline
from monitor.detect.localise import Localisation
from monitor.http.access import Scope
from monitor.http.cursor import next_of, position_of
from monitor.http.problems import ProblemError
from monitor.services.alarms import TRANSITIONS, TransitionError, transition, visible_alarm
from monitor.services.claims import audit_of
from monitor.store import alarms as store
from monitor.store import reading
from monitor.store.localisations import read_localisation
from monitor.store.pages import AlarmFilter, Page, list_alarms
from monitor.store.sensors import accuracies

_PAGE = 50
_READ_FIRST = 10
_AROUND_S = 14 * DAY_S
_STEP_S = DAY_S

_STANDING = (None, "", AlarmState.OPEN.value)
"""What an unattested version is listed among: it stands until it is attested, or answers no more."""

STEPS = {
    "acknowledge": AlarmState.ACKNOWLEDGED,
    "confirm": AlarmState.CONFIRMED,
    "refute": AlarmState.REFUTED,
    "close": AlarmState.CLOSED,
}

CLAIMS_NOT = {
    AlarmSubject.STRATUM: (
        "It does not say that the assistant meant to deceive, nor, until a random audit or a confirm run "
        "shows it, that honesty fell: a change of topic or of the sensor's errors can raise a score, too."
    ),
    AlarmSubject.POPULATION: (
        "It does not say that any one rater is wrong or acts in bad faith. Critics who dislike what the "
        "assistant says are no attack: read what the raters liked before you leave anybody out."
    ),
    AlarmSubject.EVALUATOR: (
        "It says nothing of the assistant. Until it is closed, verdicts of this evaluator are not believed."
    ),
}
RUNBOOK = {
    AlarmSubject.STRATUM: "CandorHonestyAlarm",
    AlarmSubject.POPULATION: "CandorBiasedRaters",
    AlarmSubject.EVALUATOR: "CandorEvaluatorAlarm",
}


def router(context: ConsoleContext) -> APIRouter:
    """The list, an alarm's page, and the steps that people take."""
    routes = APIRouter(route_class=ConsoleRoute, include_in_schema=False)
    _add_list(routes, context)
    _add_page(routes, context)
    _add_step(routes, context)
    return routes


def _add_list(routes: APIRouter, context: ConsoleContext) -> None:
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)

    @routes.get("/alarms")
    def alarm_list(
        request: Request,
        view: Annotated[View, Depends(view_of)],
        state: Annotated[str | None, Query(max_length=20)] = None,
        after: Annotated[str | None, Query(max_length=4_000)] = None,
        viewer: Viewer = signed_in,
    ) -> Response:
        check_one_of("state", state, AlarmState)
        seen_state = context.state(viewer.principal)
        names = assistants_of(seen_state, viewer)
        if view.assistant is not None:
            view = chosen(view, viewer, names)
        seen = viewer.principal.assistants
        wanted = AlarmFilter(
            states=(AlarmState(state),) if state else (),
            assistant=view.assistant,
            assistants=None if seen is None else sorted(seen),
        )
        part = Page(after=position_of(after, 1) if after else None, limit=_PAGE)
        with reading(context.engine) as connection:
            found = list_alarms(connection, wanted, part)
        following = next_of(found, part, lambda last: (last.opened_at_s, last.alarm_id))
        return page(
            request,
            viewer,
            "alarms.html",
            view=view,
            assistants=names,
            states=list(AlarmState),
            state=state,
            alarms=found,
            unattested=[
                one
                for one in seen_state.unattested_versions
                if part.after is None and view.assistant in {None, one[0]} and state in _STANDING
            ],
            window_s=seen_state.window_s,
            older=view.link("/alarms", state=state, after=following) if following else None,
        )


def _add_page(routes: APIRouter, context: ConsoleContext) -> None:
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)
    timeline = Timeline(context.clock)

    @routes.get("/alarms/{alarm_id}")
    def alarm_page(request: Request, alarm_id: str, viewer: Viewer = signed_in) -> Response:
        with reading(context.engine) as connection:
            alarm = _seen(connection, viewer, alarm_id)
            record = read_localisation(connection, alarm_id)
            events = store.events(connection, alarm_id)
            audit = audit_of(connection, alarm) if _is_of_stratum(alarm) else None
            chart = _chart(connection, timeline, alarm, context.clock())
        about = None if record is None else msgspec.json.decode(record, type=Localisation)
        assistant = None if alarm.subject is AlarmSubject.EVALUATOR else _assistant(alarm)
        return page(
            request,
            viewer,
            "alarm.html",
            alarm=alarm,
            claims_not=CLAIMS_NOT[alarm.subject],
            runbook=RUNBOOK[alarm.subject],
            since=_since(alarm),
            about=about,
            read_first=() if about is None else about.telling[:_READ_FIRST],
            events=events,
            audit=audit,
            chart=chart,
            assistant=assistant,
            holds=() if assistant is None else context.gate.holds(assistant),
            holding=alarm.state not in {AlarmState.REFUTED, AlarmState.CLOSED},
            steps=[name for name, to in STEPS.items() if to in TRANSITIONS[alarm.state]],
        )


def _add_step(routes: APIRouter, context: ConsoleContext) -> None:
    may_review = Depends(SignedIn(context, Scope.REVIEW).let_in)

    @routes.post("/alarms/{alarm_id}/{name}")
    def take_step(
        alarm_id: str,
        name: str,
        viewer: Viewer = may_review,
        form: Form = Depends(read_act),  # noqa: B008
    ) -> Response:
        if name not in STEPS:
            raise ProblemError(HTTPStatus.NOT_FOUND, "there is no such step")
        target = STEPS[name]
        # Who acknowledges need not say why; every other step rests on what was found.
        reason = form.get("reason")
        if target is AlarmState.ACKNOWLEDGED:
            reason = reason or "acknowledged"
        else:
            reason = form.required("reason")
        with context.engine.begin() as connection:
            try:
                transition(
                    connection,
                    alarm_id,
                    target,
                    viewer.acts(),
                    reason=reason,
                    options=context.detection,
                    now_s=context.clock(),
                    sees=viewer.principal.sees,
                )
            except TransitionError as error:
                raise ProblemError(HTTPStatus.CONFLICT, error.what) from error
            except store.UnknownAlarmError as error:
                raise ProblemError(HTTPStatus.NOT_FOUND, error.what) from error
        return back_to(f"/alarms/{quote(alarm_id, safe='')}")


def _seen(connection: Connection, viewer: Viewer, alarm_id: str) -> Alarm:
    try:
        return visible_alarm(connection, alarm_id, viewer.principal.sees)
    except store.UnknownAlarmError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no alarm has this id") from error


def _assistant(alarm: Alarm) -> str:
    return alarm.scope.partition("/")[0]


def _is_of_stratum(alarm: Alarm) -> bool:
    return alarm.subject is AlarmSubject.STRATUM


def _since(alarm: Alarm) -> dict[str, Any] | None:
    found = alarm.details.get("since")
    return found if isinstance(found, dict) else None


def _chart(connection: Connection, timeline: Timeline, alarm: Alarm, now_s: float) -> Chart | None:
    """Two weeks around the alarm of the stratum that it is about."""
    if not _is_of_stratum(alarm):
        return None
    end_s = min(now_s, alarm.opened_at_s + _AROUND_S / 2)
    start_s = end_s - _AROUND_S
    counts = timeline.counts(connection, start_s, end_s, _STEP_S)
    steps = timeline.curve(counts, _STEP_S, _assistant(alarm), alarm.scope, accuracies(connection))
    marks = [Mark(alarm.opened_at_s, "alarm", alarm.claim)]
    since = _since(alarm)
    if since is not None and "at_s" in since:
        marks.append(Mark(float(since["at_s"]), "version", "most likely start"))
    return drawn(steps, marks, start_s, end_s, _STEP_S)
