"""`/raters`: who steers the feedback, as far as it may be said, and one rater's history by pseudonym."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from monitor.cohorts.results import Plane, RaterStatus, Share
from monitor.console.chart import Chart, Mark, drawn
from monitor.console.context import ConsoleContext
from monitor.console.frame import (
    RANGES,
    ConsoleRoute,
    View,
    assistants_of,
    check_one_of,
    chosen,
    page,
    view_of,
)
from monitor.console.plane import picture_of
from monitor.console.session import SignedIn, Viewer
from monitor.console.timeline import Step
from monitor.http.access import Scope
from monitor.http.problems import ProblemError
from monitor.store import reading
from monitor.store import status as queries
from monitor.store.asked import LiveVerdict, live_verdicts
from monitor.store.estimates import estimates_between, posterior_of
from monitor.store.given import Given, given_by
from monitor.store.pages import AlarmFilter, Page, list_alarms
from monitor.telemetry import Bounded

_RATERS, _HISTORY, _CURVE, _MARKS = 200, 200, 60, 50
_GROUPS, _ITEMS = 20, 20


class Group(msgspec.Struct, frozen=True):
    """What is shown of a stored group."""

    group_id: str
    pattern: str
    direction: str
    raters: tuple[str, ...]
    responses: tuple[str, ...]
    p_lie: float | None
    first_s: float
    last_s: float
    odds_of_harm: float = 0.0


class Burst(msgspec.Struct, frozen=True):
    """What is shown of people who act together without favouring lies."""

    pattern: str
    direction: str
    n_raters: int
    first_s: float
    last_s: float


class Estimated(msgspec.Struct, frozen=True):
    """What is shown of a stored estimate."""

    biased_fraction: Share
    biased_weight: Share
    groups: tuple[Group, ...] = ()
    bursts: tuple[Burst, ...] = ()
    plane: Plane | None = None


class OverTime(msgspec.Struct, frozen=True, kw_only=True):
    """The estimates of a period: two curves, and the newest as a whole; None where there was none."""

    share: Chart
    weight: Chart
    newest: Estimated | None


def router(context: ConsoleContext) -> APIRouter:
    """An assistant's raters, and one of them."""
    routes = APIRouter(route_class=ConsoleRoute, include_in_schema=False)
    _add_list(routes, context)
    _add_rater(routes, context)
    return routes


def _add_list(routes: APIRouter, context: ConsoleContext) -> None:
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)

    @routes.get("/raters")
    def rater_list(
        request: Request,
        view: Annotated[View, Depends(view_of)],
        status: Annotated[str | None, Query(max_length=20)] = None,
        viewer: Viewer = signed_in,
    ) -> Response:
        check_one_of("status", status, RaterStatus)
        state = context.state(viewer.principal)
        names = assistants_of(state, viewer)
        view = chosen(view, viewer, names)
        if view.assistant is None and names:
            view = msgspec.structs.replace(view, assistant=names[0])
        name = view.assistant or ""
        cohort = next((c for c in state.cohorts if c.assistant == name), None)
        with reading(context.engine) as connection:
            raters = queries.list_raters(connection, name, status=status or None, limit=_RATERS)
            over_time = _over_time(connection, view, context)
            newest = over_time.newest
            groups = (
                [g for g in newest.groups if len(g.raters) >= context.min_group] if newest else []
            )
            items = _items(connection, name, groups[:_GROUPS])
        return page(
            request,
            viewer,
            "raters.html",
            view=view,
            assistants=names,
            statuses=list(RaterStatus),
            status=status,
            cohort=cohort,
            raters=raters,
            most=_RATERS,
            groups=groups[:_GROUPS],
            further_groups=max(0, len(groups) - _GROUPS),
            bursts=[b for b in newest.bursts if b.n_raters >= context.min_group] if newest else [],
            items=items,
            min_group=context.min_group,
            share=over_time.share,
            weight=over_time.weight,
            picture=picture_of(newest.plane) if newest and newest.plane else None,
        )


def _add_rater(routes: APIRouter, context: ConsoleContext) -> None:
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)

    @routes.get("/raters/{assistant}/{rater}")
    def rater_page(
        request: Request, assistant: str, rater: str, viewer: Viewer = signed_in
    ) -> Response:
        viewer.principal.check(assistant)
        with reading(context.engine) as connection:
            posterior = posterior_of(connection, assistant, rater)
            given = given_by(connection, assistant, rater, limit=_HISTORY)
        if posterior is None and not given:
            raise ProblemError(HTTPStatus.NOT_FOUND, "nothing is known of this rater")
        return page(
            request,
            viewer,
            "rater.html",
            view=View(assistant=assistant),
            rater=rater,
            posterior=posterior,
            given=given if viewer.reads_text() else [_without_text(one) for one in given],
            most=_HISTORY,
        )


def _over_time(connection: Connection, view: View, context: ConsoleContext) -> OverTime:
    """How many raters are biased, and how much of the training signal they carry."""
    start_s, end_s = view.period(context.clock())
    name = view.assistant or ""
    rows = estimates_between(connection, name, start_s=start_s, end_s=end_s, limit=_CURVE)
    known = [(at_s, n, msgspec.json.decode(record, type=Estimated)) for at_s, n, record in rows]
    period = Page(since_s=start_s, until_s=end_s, limit=_MARKS)
    marks = [
        Mark(alarm.opened_at_s, "alarm", alarm.claim, f"/alarms/{quote(alarm.alarm_id, safe='')}")
        for alarm in list_alarms(connection, AlarmFilter(scope=name), period)
    ]
    # Estimates come when they come: a line joins those within a twentieth of the range.
    width_s = max(RANGES[view.range][1], RANGES[view.range][0] / 20)

    def curve(measure: str, share_of: Callable[[Estimated], Share]) -> Chart:
        shares = [(at_s, n, share_of(one)) for at_s, n, one in reversed(known)]
        steps = [
            Step(at_s, n, Bounded(), Bounded(one.estimate, one.lower, one.upper))
            for at_s, n, one in shares
        ]
        highest = max((one.upper for _, _, one in shares if one.estimate is not None), default=1.0)
        # A share of a few per cent would lie flat on an axis that reaches to all of them.
        top = min(1.0, math.ceil(highest * 10 - 1e-9) / 10)
        return drawn(steps, marks, start_s, end_s, width_s, measure=measure, top=top)

    return OverTime(
        share=curve("share of biased raters", lambda one: one.biased_fraction),
        weight=curve("their share of the training weight", lambda one: one.biased_weight),
        newest=known[0][2] if known else None,
    )


def _items(
    connection: Connection, assistant: str, groups: Sequence[Group]
) -> dict[str, LiveVerdict]:
    """The verdicts on what groups acted on, by response."""
    wanted = {one for group in groups for one in group.responses[:_ITEMS]}
    return {one.response_id: one for one in live_verdicts(connection, assistant, wanted)}


def _without_text(given: Given) -> Given:
    return msgspec.structs.replace(given, text=None)
