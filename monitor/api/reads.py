"""`GET` routes: verdicts, cohorts, gate, decisions, confirm runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query
from sqlalchemy import RowMapping

from evidence import GateAnswer, Purpose, VerdictKind
from monitor.api.context import Context
from monitor.api.explanations import finding_fields, shown_explanations, verdict_fields
from monitor.api.models import (
    CohortList,
    CohortOut,
    DecisionList,
    DecisionOut,
    EstimateOut,
    GateOut,
    RaterOut,
    RunOut,
    VerdictDetail,
    VerdictOut,
    VerdictPage,
    at,
    at_known,
)
from monitor.api.paging import Limit, OneKeyPage
from monitor.cohorts.results import RaterStatus
from monitor.http.access import Principal, Scope
from monitor.http.cursor import next_of
from monitor.http.problems import ProblemError, documented
from monitor.http.routes import DoorRoute
from monitor.services.gate import Gate
from monitor.store import reading
from monitor.store import status as queries
from monitor.store.pages import (
    VerdictFilter,
    find_verdict,
    list_decisions,
    list_verdicts,
)
from monitor.telemetry import CohortState, Estimate

Likelihood = Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)]


def router(context: Context) -> APIRouter:
    """Everything that is only read."""
    routes = APIRouter(route_class=DoorRoute, prefix="/v1")
    _add_verdicts(routes, context)
    _add_cohorts(routes, context)
    _add_gate(routes, context)
    return routes


def _add_verdicts(routes: APIRouter, context: Context) -> None:
    may_read = Depends(context.access.require(Scope.READ))

    @routes.get("/verdicts", tags=["verdicts"], summary="Verdicts, newest first")
    def get_verdicts(
        *,
        principal: Principal = may_read,
        page: OneKeyPage,
        assistant: str | None = None,
        response_id: str | None = None,
        stratum: str | None = None,
        kind: VerdictKind | None = None,
        purpose: Annotated[list[Purpose] | None, Query(description="Without it `live`.")] = None,
        least_p_lie: Likelihood = None,
        most_p_lie: Likelihood = None,
    ) -> VerdictPage:
        """Live verdicts of every assistant without a filter; `since` and `until` are about
        `scored_at`. `claim` and `contradicts` are shown to keys with the scope `review`."""
        wanted = VerdictFilter(
            assistant=named_assistant(principal, assistant),
            response_id=response_id,
            stratum=stratum,
            kind=kind,
            purposes=purpose or (Purpose.LIVE,),
            least_p_lie=least_p_lie,
            most_p_lie=most_p_lie,
        )
        with reading(context.engine) as connection:
            found = list_verdicts(connection, wanted, page)
            known = shown_explanations(connection, principal, found)
        return VerdictPage(
            verdicts=[VerdictOut(**verdict_fields(v, known.get(v.key))) for v in found],
            next=next_of(found, page, lambda last: (last.scored_at_s, last.key)),
        )

    @routes.get(
        "/verdicts/{key}",
        tags=["verdicts"],
        summary="One verdict with its conversation",
        responses=documented(HTTPStatus.NOT_FOUND),
    )
    def get_verdict(*, principal: Principal = may_read, key: str) -> VerdictDetail:
        """The conversation, and the findings that quote it, are shown to keys with the scope `review`,
        as long as it is kept."""
        with reading(context.engine) as connection:
            found = find_verdict(connection, key)
            known = shown_explanations(connection, principal, [found[0]] if found else [])
        if found is None or not principal.sees(found[0].stratum.assistant):
            raise ProblemError(HTTPStatus.NOT_FOUND, f"no verdict has the key {key!r}")
        verdict, response = found
        messages = None
        text: Literal["shown", "not_allowed", "gone"] = "gone" if response is None else "shown"
        if not principal.may(Scope.REVIEW):
            text = "not_allowed"
        elif response is not None:
            messages = msgspec.to_builtins(response.messages)
        return VerdictDetail(
            **verdict_fields(verdict, known.get(key)),
            **finding_fields(known.get(key)),
            messages=messages,
            text=text,
        )


def _add_cohorts(routes: APIRouter, context: Context) -> None:
    may_read = Depends(context.access.require(Scope.READ))

    @routes.get("/cohorts", tags=["cohorts"], summary="Who steers the feedback")
    def get_cohorts(
        *,
        principal: Principal = may_read,
        assistant: str | None = None,
        status: RaterStatus | None = None,
        limit: Limit = 100,
    ) -> CohortList:
        """The newest estimate of each assistant; with `assistant`, its raters too, most suspect first,
        of one `status` or of all."""
        assistant = named_assistant(principal, assistant)
        if status is not None and assistant is None:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "raters are listed for one assistant",
                errors=[("assistant", "required with `status`")],
            )
        shown = [c for c in context.state().cohorts if assistant in (None, c.assistant)]
        raters: list[RaterOut] = []
        if assistant is not None:
            with reading(context.engine) as connection:
                rows = queries.list_raters(connection, assistant, status=status, limit=limit)
            raters = [
                RaterOut(
                    rater=row["rater"],
                    p_biased=row["p_biased"],
                    status=row["status"],
                    n_events=row["n_events"],
                )
                for row in rows
            ]
        return CohortList(cohorts=[_cohort(cohort) for cohort in shown], raters=raters)


def _add_gate(routes: APIRouter, context: Context) -> None:
    may_read = Depends(context.access.require(Scope.READ))
    gate = gate_of(context)

    @routes.get("/gate", tags=["gate"], summary="What stands before the next retrain")
    def get_gate(*, principal: Principal = may_read, assistant: str) -> GateOut:
        """What would hold the gate now, by its own rule; its last answer; the newest confirm runs."""
        principal.check(assistant)
        with reading(context.engine) as connection:
            decisions = queries.list_decisions(connection, assistant=assistant, limit=1)
            runs = queries.list_runs(connection, assistant=assistant, limit=10)
        last = decisions[0] if decisions else None
        return GateOut(
            assistant=assistant,
            holds=list(gate.holds(assistant)),
            last_answer=last["answer"] if last else None,
            last_decided_at=at(last["created_at_s"]) if last else None,
            confirm_runs=[run_out(row) for row in runs],
        )

    @routes.get("/decisions", tags=["gate"], summary="Gate decisions, newest first")
    def get_decisions(
        *,
        principal: Principal = may_read,
        page: OneKeyPage,
        assistant: str | None = None,
        answer: GateAnswer | None = None,
    ) -> DecisionList:
        """With the signed envelopes, which `candor gate verify` checks."""
        assistant = named_assistant(principal, assistant)
        with reading(context.engine) as connection:
            rows = list_decisions(connection, page, assistant=assistant, answer=answer)
        return DecisionList(
            decisions=[_decision(row) for row in rows],
            next=next_of(rows, page, lambda last: (last["created_at_s"], last["decision_id"])),
        )


def gate_of(context: Context) -> Gate:
    """The gate over this API's store."""
    settings = context.settings
    return Gate(
        engine=context.engine,
        options=settings.retrain,
        silent_s=settings.telemetry.worker_silent_s,
        clock=context.clock,
    )


def named_assistant(principal: Principal, assistant: str | None) -> str | None:
    """The assistant asked for, if this key may see it; a key of one assistant means that one."""
    if assistant is not None:
        principal.check(assistant)
        return assistant
    if principal.assistants is None:
        return None
    if len(principal.assistants) == 1:
        return next(iter(principal.assistants))
    raise ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "this key is for several assistants, name one",
        errors=[("assistant", "required for this key")],
    )


def _estimate(value: Estimate) -> EstimateOut:
    return EstimateOut(estimate=value.estimate, lower=value.lower, upper=value.upper)


def _cohort(cohort: CohortState) -> CohortOut:
    return CohortOut(
        assistant=cohort.assistant,
        biased_raters=_estimate(cohort.biased),
        biased_weight=_estimate(cohort.biased_weight),
        n_raters=cohort.n_raters,
        n_events=cohort.n_events,
        suspects=cohort.suspects,
        answer=cohort.answer,
        reasons=list(cohort.reasons),
        groups=cohort.groups,
        bursts=cohort.bursts,
        grouped_raters=cohort.grouped_raters,
        unidentified=cohort.unidentified,
        sycophancy_gap=_estimate(cohort.gap),
        cutoff=at_known(cohort.cutoff_s),
    )


def run_out(row: Mapping[Any, Any]) -> RunOut:
    """A confirm run as the API shows it."""
    return RunOut(
        run_id=row["run_id"],
        assistant=row["assistant"],
        alarm_id=row["alarm_id"],
        state=row["state"],
        requested_at=at_known(row["requested_at_s"]),
        started_at=at(row["started_at_s"]),
        finished_at=at(row["finished_at_s"]),
        error=row["error"],
    )


def _decision(row: RowMapping) -> DecisionOut:
    return DecisionOut(
        decision_id=row["decision_id"],
        assistant=row["assistant"],
        answer=row["answer"],
        subject_digest=row["subject_digest"],
        created_at=at_known(row["created_at_s"]),
        expires_at=at_known(row["expires_at_s"]),
        revoked_at=at(row["revoked_at_s"]),
        overridden_by=row["overridden_by"],
        envelope=json.loads(row["envelope"]),
    )
