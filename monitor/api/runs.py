"""Confirm runs as people move them: asked for, approved, cancelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from monitor.api.context import Context
from monitor.api.models import RunOut, Step
from monitor.api.reads import named_assistant, run_out
from monitor.http.access import Principal, Scope
from monitor.http.problems import ProblemError, documented
from monitor.http.routes import DoorRoute
from monitor.services import runs
from monitor.services.runs import RunStateError, UnknownRunError
from monitor.store import reading
from monitor.store.confirm_runs import ConfirmRun
from monitor.store.status import list_runs

_PROBLEMS = documented(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)


class RunIn(Step):
    """Who wants a confirm run of an assistant's newest feedback, and why."""

    assistant: str = Field(min_length=1, max_length=200)


class RunList(BaseModel):
    """Confirm runs, newest first."""

    runs: list[RunOut]


def router(context: Context) -> APIRouter:
    """`/v1/gate/runs`."""
    routes = APIRouter(
        route_class=DoorRoute, prefix="/v1/gate/runs", tags=["gate"], responses=_PROBLEMS
    )
    _add_list(routes, context)
    _add_steps(routes, context)
    return routes


def _add_list(routes: APIRouter, context: Context) -> None:
    may_read = Depends(context.access.require(Scope.READ))

    @routes.get("", summary="Confirm runs, newest first")
    def get_runs(
        *,
        principal: Principal = may_read,
        assistant: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> RunList:
        """Of one assistant, or of all that the key may see."""
        assistant = named_assistant(principal, assistant)
        with reading(context.engine) as connection:
            found = list_runs(connection, assistant=assistant, limit=limit)
        return RunList(runs=[run_out(row) for row in found])


def _add_steps(routes: APIRouter, context: Context) -> None:
    may_ask = Depends(context.access.require(Scope.GATE))

    @routes.post("", status_code=HTTPStatus.CREATED, summary="Ask for a confirm run")
    def start_run(*, principal: Principal = may_ask, asked: RunIn) -> RunOut:
        """It starts within the daily budget, without waiting for an alarm."""
        principal.check(asked.assistant)
        with _acting(context) as connection:
            return _out(
                runs.request(
                    connection,
                    asked.assistant,
                    principal.acts(asked.by),
                    reason=asked.reason,
                    now_s=context.clock(),
                )
            )

    @routes.post("/{run_id}/approve", summary="Let a proposed run start")
    def approve_run(*, principal: Principal = may_ask, run_id: str, step: Step) -> RunOut:
        """Where `retrain.trigger` is `propose`, nothing starts before a person says so."""
        return _stepped(context, runs.approve, principal, run_id, step)

    @routes.post("/{run_id}/cancel", summary="End a run that is not done")
    def cancel_run(*, principal: Principal = may_ask, run_id: str, step: Step) -> RunOut:
        """A run under way is `cancelling` until its job has ended."""
        return _stepped(context, runs.cancel, principal, run_id, step)


def _stepped(
    context: Context, act: Callable[..., ConfirmRun], principal: Principal, run_id: str, step: Step
) -> RunOut:
    by, now_s = principal.acts(step.by), context.clock()
    with _acting(context) as connection:
        run = act(connection, run_id, by, reason=step.reason, now_s=now_s, sees=principal.sees)
        return _out(run)


@contextmanager
def _acting(context: Context) -> Iterator[Connection]:
    try:
        with context.engine.begin() as connection:
            yield connection
    except UnknownRunError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, error.what) from error
    except RunStateError as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.what) from error


def _out(run: ConfirmRun) -> RunOut:
    return run_out(msgspec.structs.asdict(run))
