"""`/retrain`: the gate's decisions with their reasons by row, confirm runs, and what people do about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from evidence import BadInputError, GateAnswer
from monitor.console.context import ConsoleContext
from monitor.console.frame import (
    ConsoleRoute,
    View,
    assistants_of,
    back_to,
    check_one_of,
    chosen,
    page,
    time_of,
    view_of,
)
from monitor.console.session import Form, SignedIn, Viewer, read_act
from monitor.http.access import Scope
from monitor.http.cursor import next_of, position_of
from monitor.http.problems import ProblemError
from monitor.services import decisions, runs
from monitor.services.runs import RunStateError, UnknownRunError
from monitor.store import reading
from monitor.store.confirm_runs import ConfirmRun
from monitor.store.decisions import UnknownDecisionError, overrides_of
from monitor.store.gate_rows import KEPT, MOST_KEPT, list_rows
from monitor.store.pages import Page, list_decisions
from monitor.store.status import list_runs
from retrain.gate import GateDecision
from retrain.report import ConfirmReport

_PAGE, _ROWS, _RUNS = 50, 100, 20
_LONGEST_ID = 200


def router(context: ConsoleContext) -> APIRouter:
    """The list, a decision's page, and the acts."""
    routes = APIRouter(route_class=ConsoleRoute, include_in_schema=False)
    _add_list(routes, context)
    _add_decision(routes, context)
    _add_run_steps(routes, context)
    _add_acts(routes, context)
    return routes


def _add_list(routes: APIRouter, context: ConsoleContext) -> None:
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)

    @routes.get("/retrain")
    def retrain_list(
        request: Request,
        view: Annotated[View, Depends(view_of)],
        answer: Annotated[str | None, Query(max_length=20)] = None,
        after: Annotated[str | None, Query(max_length=4_000)] = None,
        viewer: Viewer = signed_in,
    ) -> Response:
        check_one_of("answer", answer, GateAnswer)
        names = assistants_of(context.state(viewer.principal), viewer)
        view = chosen(view, viewer, names)
        part = Page(after=position_of(after, 1) if after else None, limit=_PAGE)
        with reading(context.engine) as connection:
            found = list_decisions(
                connection, part, assistant=view.assistant, answer=answer or None
            )
            confirm_runs = list_runs(connection, assistant=view.assistant, limit=_RUNS)
        following = next_of(found, part, lambda last: (last["created_at_s"], last["decision_id"]))
        return page(
            request,
            viewer,
            "retrain.html",
            view=view,
            assistants=names,
            answers=list(GateAnswer),
            answer=answer,
            decisions=found,
            older=view.link("/retrain", answer=answer, after=following) if following else None,
            runs=confirm_runs,
            holds=context.gate.holds(view.assistant) if view.assistant else None,
        )


def _add_decision(routes: APIRouter, context: ConsoleContext) -> None:
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)

    @routes.get("/retrain/{decision_id}")
    def decision_page(
        *,
        request: Request,
        decision_id: str,
        reason: Annotated[str | None, Query(max_length=64)] = None,
        response_id: Annotated[str | None, Query(max_length=_LONGEST_ID)] = None,
        after: Annotated[int | None, Query(ge=0)] = None,
        viewer: Viewer = signed_in,
    ) -> Response:
        with reading(context.engine) as connection, _known(UnknownDecisionError):
            stored, decision = decisions.find(connection, decision_id, sees=viewer.principal.sees)
            rows = list_rows(
                connection,
                decision_id,
                reason=reason or None,
                response_id=response_id or None,
                after=after,
                limit=_ROWS,
            )
            overrides = overrides_of(connection, decision_id)
            report = _report(connection, decision)
        view = View(assistant=stored.assistant)
        base = f"/retrain/{quote(decision_id, safe='')}"
        more = rows[-1].index if len(rows) == _ROWS else None
        narrowed = {"reason": reason, "response_id": response_id, "assistant": None}
        return page(
            request,
            viewer,
            "decision.html",
            view=view,
            stored=stored,
            decision=decision,
            rows=rows,
            reason=reason or "",
            response_id=response_id or "",
            further=view.link(base, after=str(more), **narrowed) if more is not None else None,
            most_kept=MOST_KEPT,
            kept=KEPT,
            overrides=overrides,
            report=report,
            now_s=context.clock(),
            can_sign=context.retrain.signing_key_file is not None,
            longest_s=context.retrain.override_max_s,
        )


def _add_acts(routes: APIRouter, context: ConsoleContext) -> None:
    may_override = Depends(SignedIn(context, Scope.OVERRIDE).let_in)
    may_revoke = Depends(SignedIn(context, Scope.GATE).let_in)

    @routes.post("/retrain/{decision_id}/override")
    def override(
        decision_id: str,
        viewer: Viewer = may_override,
        form: Form = Depends(read_act),  # noqa: B008
    ) -> Response:
        key_file = context.retrain.signing_key_file
        if key_file is None:
            raise ProblemError(
                HTTPStatus.CONFLICT, "the server has no retrain.signing_key_file to sign with"
            )
        order = decisions.OverrideOrder(
            decision_id=decision_id,
            requested_by=form.required("requested_by", longest=100),
            reason=form.required("reason"),
            until_s=time_of(form.required("until", longest=40), "until") or 0.0,
        )
        with _known(UnknownDecisionError), context.engine.begin() as connection:
            made, _ = decisions.override_decision(
                connection,
                order,
                viewer.acts(),
                now_s=context.clock(),
                longest_s=context.retrain.override_max_s,
                key_file=key_file,
                sees=viewer.principal.sees,
            )
        return back_to(f"/retrain/{quote(made.decision_id, safe='')}")

    @routes.post("/retrain/{decision_id}/revoke")
    def revoke(
        decision_id: str,
        viewer: Viewer = may_revoke,
        form: Form = Depends(read_act),  # noqa: B008
    ) -> Response:
        with _known(UnknownDecisionError), context.engine.begin() as connection:
            decisions.revoke(
                connection,
                decision_id,
                viewer.acts(),
                reason=form.required("reason"),
                now_s=context.clock(),
                sees=viewer.principal.sees,
            )
        return back_to(f"/retrain/{quote(decision_id, safe='')}")


def _add_run_steps(routes: APIRouter, context: ConsoleContext) -> None:
    may_move = Depends(SignedIn(context, Scope.GATE).let_in)
    steps: dict[str, Callable[..., ConfirmRun]] = {"approve": runs.approve, "cancel": runs.cancel}

    @routes.post("/retrain/runs/{run_id}/{name}")
    def move_run(
        run_id: str,
        name: str,
        viewer: Viewer = may_move,
        form: Form = Depends(read_act),  # noqa: B008
    ) -> Response:
        if name not in steps:
            raise ProblemError(HTTPStatus.NOT_FOUND, "there is no such step")
        try:
            with _known(UnknownRunError), context.engine.begin() as connection:
                run = steps[name](
                    connection,
                    run_id,
                    viewer.acts(),
                    reason=form.required("reason"),
                    now_s=context.clock(),
                    sees=viewer.principal.sees,
                )
        except RunStateError as error:
            raise ProblemError(HTTPStatus.CONFLICT, error.what) from error
        return back_to(View(assistant=run.assistant).link("/retrain"))


@contextmanager
def _known(unknown: type[BadInputError]) -> Iterator[None]:
    """Turn what is unknown, or another assistant's, into 404."""
    try:
        yield
    except unknown as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, error.what) from error


def _report(connection: Connection, decision: GateDecision) -> ConfirmReport | None:
    """The confirm run that a decision rests on, among the assistant's newest; None where it is not stored."""
    if decision.confirm_digest is None:
        return None
    for row in list_runs(connection, assistant=decision.assistant, limit=_RUNS):
        if row["report"] is not None:
            report = msgspec.json.decode(row["report"], type=ConfirmReport)
            if report.digest == decision.confirm_digest:
                return report
    return None
