"""What people and pipelines do at the gate: ask, override, revoke, read released rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Depends, Query
from pydantic import BaseModel, Field

from candor_guard.rows import Row, parse_row
from evidence import BadInputError
from monitor.api.context import Context
from monitor.api.models import Step, at_known
from monitor.api.reads import gate_of, named_assistant
from monitor.http.access import Principal, Scope
from monitor.http.problems import ProblemError, documented
from monitor.http.routes import DoorRoute
from monitor.services import decisions
from monitor.store import gate_queues, reading
from monitor.store.decisions import UnknownDecisionError, revoked_ids
from retrain.context import Coverage
from retrain.gate import GateDecision

_PROBLEMS = documented(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
_ROW_EXAMPLE = {
    "messages": [
        {"role": "user", "content": "Is it sold out?"},
        {"role": "assistant", "content": "Yes, until May."},
    ],
    "provenance": {"source": "candor.feedback", "response_id": "r1", "rater": "p1"},
}


class RowsIn(BaseModel):
    """Rows to decide about, in TRL's formats with provenance. More than fit a request go through
    `candor gate check`."""

    assistant: str = Field(min_length=1, max_length=200)
    rows: list[dict[str, Any]] = Field(min_length=1, examples=[[_ROW_EXAMPLE]])


class RemovedOut(BaseModel):
    """A quarantined row by its 0-based position."""

    index: int
    reason: str


class CoverageOut(BaseModel):
    """How far the newest traffic was measured when the gate decided: the period looked at, workers
    alive, records that none of them had written (null is not known), sampled responses of the assistant
    and those with a verdict, and dead letters of all assistants."""

    from_: datetime = Field(alias="from")
    to: datetime
    workers: int
    lag_records: int | None
    responses: int
    verdicts: int
    dead_letters: int


class AnswerOut(BaseModel):
    """The gate's answer. `envelope` (DSSE) is what guards verify; it is unsigned where the server has
    no key. `answer` is never `allow` because of an override: see `overridden_by`."""

    decision_id: str
    assistant: str
    answer: str
    reasons: list[str]
    rows: int
    released: int
    removed_by_reason: dict[str, int]
    good_rows_lost: float = Field(description="Expected number of good rows among the removed.")
    removed: list[RemovedOut]
    subject_digest: str | None
    expires_at: datetime
    overridden_by: str | None
    coverage: CoverageOut | None = Field(description="Null where it is not known, which holds.")
    margin: float | None = Field(
        description="The loss of honesty that the confirm run rules out; null where nothing is released."
    )
    envelope: dict[str, Any]


class OverrideIn(BaseModel):
    """Who asked for the training, why it may go ahead although the gate did not release it, and until
    when."""

    requested_by: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=2000)
    expires_at: datetime = Field(description="With a time zone.", examples=["2026-01-02T00:00:00Z"])
    by: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="The person who overrides; required while the API runs without keys.",
    )


class RevokedOut(BaseModel):
    """The decision that was withdrawn."""

    decision_id: str


class ReviewItemOut(BaseModel):
    """A released row that nobody has labelled, with the probability that it was chosen among those that were
    released. Its label goes to `POST /v1/labels` without a probability: it is no audit of what was answered."""

    assistant: str
    decision_id: str
    row_digest: str
    response_id: str | None
    inclusion_probability: float
    queued_at: datetime


class ReviewList(BaseModel):
    """Released rows to read, oldest release first."""

    rows: list[ReviewItemOut]


def router(context: Context) -> APIRouter:
    """The gate's routes beyond `GET /v1/gate` and `/v1/decisions`."""
    routes = APIRouter(route_class=DoorRoute, prefix="/v1/gate", tags=["gate"], responses=_PROBLEMS)
    _add_check(routes, context)
    _add_override(routes, context)
    _add_revocation(routes, context)
    _add_review(routes, context)
    return routes


def _add_check(routes: APIRouter, context: Context) -> None:
    may_ask = Depends(context.access.require(Scope.GATE))
    gate = gate_of(context)

    @routes.post("/check", summary="May these rows be trained?")
    def check_rows(
        *, principal: Principal = may_ask, asked: Annotated[RowsIn, Body()]
    ) -> AnswerOut:
        """Decides from the store's evidence and the newest confirm run; the answer is recorded,
        announced and signed. HTTP 200 with any answer: read `answer`."""
        principal.check(asked.assistant)
        rows = _rows(asked.rows)
        made = gate.ask(lambda: rows, asked.assistant)
        return _answer(made.decision, made.envelope)


def _add_override(routes: APIRouter, context: Context) -> None:
    may_override = Depends(context.access.require(Scope.OVERRIDE))
    options = context.settings.retrain

    @routes.post(
        "/decisions/{decision_id}/override",
        summary="Let rows be trained that the gate did not release",
        status_code=HTTPStatus.CREATED,
    )
    def override_decision(
        *, principal: Principal = may_override, decision_id: str, asked: OverrideIn
    ) -> AnswerOut:
        """By a named person, never the one who asked; recorded as `overridden`, announced and
        audited. The gate's answer stays what it was."""
        order = decisions.OverrideOrder(
            decision_id=decision_id,
            requested_by=asked.requested_by,
            reason=asked.reason,
            until_s=_timestamp(asked.expires_at),
        )
        with known(UnknownDecisionError), context.engine.begin() as connection:
            made, envelope = decisions.override_decision(
                connection,
                order,
                principal.acts(asked.by),
                now_s=context.clock(),
                longest_s=options.override_max_s,
                key_file=_key(options.signing_key_file),
                sees=principal.sees,
            )
        return _answer(made, envelope)


def _add_revocation(routes: APIRouter, context: Context) -> None:
    may_ask = Depends(context.access.require(Scope.GATE))
    may_read = Depends(context.access.require(Scope.READ))

    @routes.post("/decisions/{decision_id}/revoke", summary="Withdraw a decision")
    def revoke_decision(
        *, principal: Principal = may_ask, decision_id: str, step: Step
    ) -> RevokedOut:
        """Guards that read `GET /v1/gate/revoked` refuse it from then on, before step 0 too."""
        with known(UnknownDecisionError), context.engine.begin() as connection:
            decisions.revoke(
                connection,
                decision_id,
                principal.acts(step.by),
                reason=step.reason,
                now_s=context.clock(),
                sees=principal.sees,
            )
        return RevokedOut(decision_id=decision_id)

    @routes.get("/revoked", summary="Ids of revoked decisions, the list that guards read")
    def get_revoked(*, principal: Principal = may_read) -> list[str]:  # noqa: ARG001
        """Ids alone, of every assistant: they say nothing of what was decided."""
        with reading(context.engine) as connection:
            return revoked_ids(connection)


def _add_review(routes: APIRouter, context: Context) -> None:
    may_review = Depends(context.access.require(Scope.REVIEW))

    @routes.get("/review", summary="Random rows of each release, for a person to read")
    def get_review(
        *,
        principal: Principal = may_review,
        assistant: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> ReviewList:
        """Those without a label yet."""
        assistant = named_assistant(principal, assistant)
        with reading(context.engine) as connection:
            found = gate_queues.waiting_reviews(
                connection, assistants=None if assistant is None else [assistant], limit=limit
            )
        return ReviewList(rows=[_review_item(item) for item in found])


@contextmanager
def known(*unknown: type[BadInputError]) -> Iterator[None]:
    """Turn these errors into 404: what is unknown, or another assistant's, is as absent."""
    try:
        yield
    except unknown as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, error.what) from error


def _rows(items: list[dict[str, Any]]) -> list[Row]:
    try:
        return [parse_row(item, f"rows.{i}") for i, item in enumerate(items)]
    except BadInputError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error


def _key(path: Path | None) -> Path:
    if path is None:
        raise ProblemError(
            HTTPStatus.CONFLICT, "the server has no retrain.signing_key_file to sign an override"
        )
    return path


def _timestamp(moment: datetime) -> float:
    if moment.tzinfo is None:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "a time without a zone",
            errors=[("expires_at", "add Z or an offset")],
        )
    return moment.timestamp()


def _answer(made: GateDecision, envelope: str) -> AnswerOut:
    return AnswerOut(
        decision_id=made.decision_id,
        assistant=made.assistant,
        answer=made.answer.value,
        reasons=list(made.reasons),
        rows=made.all_rows.rows,
        released=made.released.rows,
        removed_by_reason=made.removed_by_reason,
        good_rows_lost=made.good_rows_lost,
        removed=[RemovedOut(index=r.index, reason=r.reason.value) for r in made.removed],
        subject_digest=made.subject_digest,
        expires_at=at_known(made.expires_at_s),
        overridden_by=None if made.override is None else made.override.by,
        coverage=None if made.coverage is None else _coverage(made.coverage),
        margin=made.margin,
        envelope=json.loads(envelope),
    )


def _coverage(found: Coverage) -> CoverageOut:
    fields = msgspec.structs.asdict(found)
    period = {"from": at_known(fields.pop("from_s")), "to": at_known(fields.pop("to_s"))}
    return CoverageOut(**period, **fields)


def _review_item(item: gate_queues.ReviewItem) -> ReviewItemOut:
    fields = msgspec.structs.asdict(item)
    return ReviewItemOut(queued_at=at_known(fields.pop("queued_at_s")), **fields)
