"""`GET` routes: verdicts, cohorts, gate, decisions, confirm runs."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlalchemy import RowMapping

from evidence import Alarm, AlarmSubject, Verdict, VerdictKind
from monitor.api.context import Context
from monitor.api.models import (
    CohortList,
    CohortOut,
    DecisionList,
    DecisionOut,
    EstimateOut,
    GateOut,
    RaterOut,
    RunOut,
    VerdictOut,
    VerdictPage,
    at,
    at_known,
)
from monitor.api.state import assistant_of
from monitor.http.access import Principal, Scope
from monitor.http.problems import ProblemError, documented
from monitor.store import reading
from monitor.store.status import (
    VerdictFilter,
    list_decisions,
    list_raters,
    list_runs,
    list_verdicts,
)
from monitor.telemetry import CohortState, Estimate, State
from retrain.context import AlarmEvidence

_PROBLEMS = documented(
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
Limit = Annotated[int, Query(ge=1, le=1000)]


def router(context: Context) -> APIRouter:
    """Everything that is only read."""
    routes = APIRouter(prefix="/v1", responses=_PROBLEMS)
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
        assistant: str | None = None,
        response_id: str | None = None,
        stratum: str | None = None,
        kind: VerdictKind | None = None,
        after: Annotated[str | None, Query(description="`next` of the page before")] = None,
        limit: Limit = 100,
    ) -> VerdictPage:
        """Without a filter, verdicts of every assistant and purpose."""
        assistant = named_assistant(principal, assistant)
        wanted = VerdictFilter(
            assistant=assistant,
            response_id=response_id,
            stratum=stratum,
            kind=None if kind is None else kind.value,
            before=_cursor(after),
            limit=limit,
        )
        with reading(context.engine) as connection:
            found = list_verdicts(connection, wanted)
        more = f"{found[-1].scored_at_s!r}:{found[-1].key}" if len(found) == limit else None
        return VerdictPage(verdicts=[_verdict(verdict) for verdict in found], next=more)


def _add_cohorts(routes: APIRouter, context: Context) -> None:
    may_read = Depends(context.access.require(Scope.READ))

    @routes.get("/cohorts", tags=["cohorts"], summary="Who steers the feedback")
    def get_cohorts(
        *,
        principal: Principal = may_read,
        assistant: str | None = None,
        status: str | None = None,
        limit: Limit = 100,
    ) -> CohortList:
        """The newest estimate of each assistant; with `assistant`, its raters too, most suspect first."""
        assistant = named_assistant(principal, assistant)
        shown = [c for c in context.state().cohorts if assistant in (None, c.assistant)]
        raters: list[RaterOut] = []
        if assistant is not None:
            with reading(context.engine) as connection:
                rows = list_raters(connection, assistant, status=status, limit=limit)
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

    @routes.get("/gate", tags=["gate"], summary="What stands before the next retrain")
    def get_gate(*, principal: Principal = may_read, assistant: str) -> GateOut:
        """What would hold the gate now, its last answer, and the newest confirm runs."""
        principal.check(assistant)
        with reading(context.engine) as connection:
            decisions = list_decisions(connection, assistant=assistant, limit=1)
            runs = list_runs(connection, assistant=assistant, limit=10)
        last = decisions[0] if decisions else None
        return GateOut(
            assistant=assistant,
            holds=holds(context.state(), assistant),
            last_answer=last["answer"] if last else None,
            last_decided_at=at(last["created_at_s"]) if last else None,
            confirm_runs=[run_out(row) for row in runs],
        )

    @routes.get("/decisions", tags=["gate"], summary="Gate decisions, newest first")
    def get_decisions(
        *,
        principal: Principal = may_read,
        assistant: str | None = None,
        limit: Limit = 100,
    ) -> DecisionList:
        """With the signed envelopes, which `candor gate verify` checks."""
        assistant = named_assistant(principal, assistant)
        with reading(context.engine) as connection:
            rows = list_decisions(connection, assistant=assistant, limit=limit)
        return DecisionList(decisions=[_decision(row) for row in rows])


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


def holds(state: State, assistant: str) -> list[str]:
    """What would hold the gate now, by the gate's own rule: alarms, and no worker to cover it."""
    found = [
        f"alarm {alarm.alarm_id} on {alarm.scope} ({alarm.metric}) is {alarm.state.value}"
        for alarm in state.alarms
        if _concerns(alarm, assistant) and _holds(alarm)
    ]
    if state.workers.alive == 0:
        found.append("no worker is alive, so the newest responses are not covered")
    return found


def _concerns(alarm: Alarm, assistant: str) -> bool:
    return alarm.subject is AlarmSubject.EVALUATOR or assistant_of(alarm) == assistant


def _holds(alarm: Alarm) -> bool:
    return AlarmEvidence(
        alarm_id=alarm.alarm_id,
        subject=alarm.subject,
        scope=alarm.scope,
        metric=alarm.metric,
        state=alarm.state,
    ).holds


def _cursor(text: str | None) -> tuple[float, str] | None:
    if text is None:
        return None
    seconds, separator, key = text.partition(":")
    try:
        if separator:
            return float(seconds), key
    except ValueError:
        pass
    raise ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "not a position in the list",
        errors=[("after", "take `next` of the page before")],
    )


def _verdict(verdict: Verdict) -> VerdictOut:
    assessment = verdict.assessment
    return VerdictOut(
        key=verdict.key,
        assistant=verdict.stratum.assistant,
        response_id=verdict.response_id,
        segment=verdict.stratum.segment,
        stakes=verdict.stratum.stakes.value,
        model=verdict.model,
        purpose=verdict.purpose.value,
        repeat=verdict.repeat,
        kind=assessment.kind,
        p_lie=assessment.p_lie,
        p_evasion=assessment.p_evasion,
        sampled_by=verdict.sampled_by.value,
        inclusion_probability=verdict.inclusion_probability,
        evaluator_version=assessment.evaluator_version,
        created_at=at_known(verdict.created_at_s),
        scored_at=at_known(verdict.scored_at_s),
        error=assessment.error,
        measurements=[
            {name: getattr(m, name) for name in m.__struct_fields__}
            for m in assessment.measurements
        ],
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
        groups=cohort.groups,
        grouped_raters=cohort.grouped_raters,
        unidentified=cohort.unidentified,
        sycophancy_gap=_estimate(cohort.gap),
        cutoff=at_known(cohort.cutoff_s),
    )


def run_out(row: RowMapping) -> RunOut:
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
