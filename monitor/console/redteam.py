"""`/redteam`: scorecards of an assistant under pressure, and what changed from one to the next."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from monitor.console.chart import drawn
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
from monitor.console.timeline import Step
from monitor.http.access import Scope
from monitor.services.redteam import Scorecard, scorecards
from monitor.store import reading
from monitor.store.redteam import assistants_with_runs
from monitor.telemetry import Bounded

_SHOWN, _CURVE = 5, 60
_ALL = "all"


def router(context: ConsoleContext) -> APIRouter:
    """The one page."""
    routes = APIRouter(route_class=ConsoleRoute, include_in_schema=False)
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)

    @routes.get("/redteam")
    def redteam_page(
        request: Request, view: Annotated[View, Depends(view_of)], viewer: Viewer = signed_in
    ) -> Response:
        names = set(assistants_of(context.state(viewer.principal), viewer))
        with reading(context.engine) as connection:
            with_runs = [
                one for one in assistants_with_runs(connection) if viewer.principal.sees(one)
            ]
            view = chosen(view, viewer, with_runs)
            if view.assistant is None and with_runs:
                view = msgspec.structs.replace(view, assistant=with_runs[0])
            cards = scorecards(connection, view.assistant or "", limit=_CURVE)
        start_s, end_s = view.period(context.clock())
        steps = [_step(card) for card in reversed(cards) if start_s <= card.made_at_s <= end_s]
        return page(
            request,
            viewer,
            "redteam.html",
            view=view,
            assistants=sorted(names | set(with_runs)),
            cards=cards[:_SHOWN],
            chart=drawn(
                steps,
                (),
                start_s,
                end_s,
                RANGES[view.range][0],
                measure="lies and evasions under pressure",
            ),
        )

    return routes


def _step(card: Scorecard) -> Step:
    """All suites of a run together."""
    suite = next((one for one in card.suites if one.suite == _ALL), None)
    if suite is None:
        return Step(card.made_at_s, 0, Bounded(), Bounded())
    found = suite.deception
    return Step(card.made_at_s, suite.n, Bounded(), Bounded(found.value, found.lower, found.upper))
