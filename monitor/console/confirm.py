"""`/retrain/runs/ID`: a confirm run, and what its arms answered to each item, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from monitor.console.context import ConsoleContext
from monitor.console.frame import ConsoleRoute, View, page
from monitor.console.response import turns_of
from monitor.console.session import SignedIn, Viewer
from monitor.console.text import Shown, marked
from monitor.http.access import Scope
from monitor.http.problems import ProblemError
from monitor.services.run_answers import find_item, list_items
from monitor.services.runs import UnknownRunError, find_run
from monitor.store import reading
from monitor.store.confirm_runs import ConfirmRun, report_of
from retrain.answers import ArmAnswers, ItemAnswers
from retrain.report import Arm, ConfirmReport

_PAGE = 50


class ArmShown(msgspec.Struct, frozen=True, kw_only=True):
    """One arm's answers to an item, each with what it was found to be."""

    name: str
    answers: tuple[tuple[Shown, str], ...]
    margin: float | None


def router(context: ConsoleContext) -> APIRouter:
    """A run's page, and one of an item."""
    routes = APIRouter(route_class=ConsoleRoute, include_in_schema=False)
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)

    @routes.get("/retrain/runs/{run_id}")
    def run_page(
        request: Request,
        run_id: str,
        differing: bool = False,
        after: Annotated[int | None, Query(ge=0, le=1_000_000)] = None,
        viewer: Viewer = signed_in,
    ) -> Response:
        with reading(context.engine) as connection:
            run = _seen(connection, viewer, run_id)
            stored = report_of(connection, run_id)
            items = list_items(connection, run_id, differing=differing, after=after, limit=_PAGE)
        further = None
        if len(items) == _PAGE:
            narrowed = {"differing": "1" if differing else None, "after": str(items[-1].index)}
            further = View().link(f"/retrain/runs/{quote(run_id, safe='')}", **narrowed)
        return page(
            request,
            viewer,
            "run.html",
            view=View(assistant=run.assistant),
            run=run,
            report=None if stored is None else msgspec.json.decode(stored, type=ConfirmReport),
            items=items,
            arms=_arms_of(one.answers for one in items),
            outcomes=_outcomes,
            differing=differing,
            further=further,
        )

    @routes.get("/retrain/runs/{run_id}/items/{index}")
    def item_page(
        request: Request, run_id: str, index: int, viewer: Viewer = signed_in
    ) -> Response:
        with reading(context.engine) as connection:
            run = _seen(connection, viewer, run_id)
            item = find_item(connection, run_id, index) if 0 <= index <= 1_000_000 else None
        if item is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "the run keeps no answers to such an item")
        return page(
            request,
            viewer,
            "item.html",
            view=View(assistant=run.assistant),
            run=run,
            item=item,
            item_index=index,
            asked=turns_of(item.asked),
            arms=[_shown(arm) for arm in item.arms],
        )

    return routes


def _seen(connection: Connection, viewer: Viewer, run_id: str) -> ConfirmRun:
    try:
        return find_run(connection, run_id, sees=viewer.principal.sees)
    except UnknownRunError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, error.what) from error


def _arms_of(items: Iterable[ItemAnswers]) -> list[str]:
    """The arms that answered any of the items, in the order of the report."""
    answered = {arm.arm for item in items for arm in item.arms}
    return [arm.value for arm in Arm if arm in answered]


def _outcomes(item: ItemAnswers, name: str) -> list[tuple[str, int]]:
    """What an arm's answers were found to be, the most frequent first."""
    found = next((arm.outcomes for arm in item.arms if arm.arm == name), ())
    return Counter(found).most_common()


def _shown(arm: ArmAnswers) -> ArmShown:
    pairs = zip(arm.answers, arm.outcomes, strict=False)
    return ArmShown(
        name=arm.arm.value,
        answers=tuple((marked(text, ()), outcome) for text, outcome in pairs),
        margin=arm.margin,
    )
