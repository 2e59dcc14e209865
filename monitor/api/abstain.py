"""`POST /v1/decisions`: may this answer be shown?"""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from sqlalchemy.exc import OperationalError

from evidence import Assessment, Message, Stakes
from evidence.records import Finding
from monitor.abstain.conformal import Audited, shown_lie_threshold
from monitor.abstain.decide import Decision, decide, decide_unmeasured, outcomes
from monitor.api.context import Context
from monitor.http.access import Principal, Scope
from monitor.http.problems import ProblemError
from monitor.http.routes import DoorRoute
from monitor.store import reading
from monitor.store.labels import audited_scores
from monitor.telemetry.abstain import AbstainMetrics
from probes.probe import Transcript

log = logging.getLogger(__name__)

_AUDIT_AGE_S = 60.0


class TurnIn(BaseModel):
    """One message of the conversation."""

    role: str = Field(min_length=1, max_length=32)
    content: str = Field(max_length=1_000_000)


class QuestionIn(BaseModel):
    """The answer that waits, with its conversation; the last message is the assistant's."""

    assistant: str = Field(min_length=1, max_length=200)
    messages: list[TurnIn] = Field(min_length=1, max_length=1000)
    model: str = Field(default="", max_length=300)
    stakes: Literal["normal", "high"] = "high"
    timeout_s: float | None = Field(
        default=None, gt=0, description="Longest wait; abstain.timeout_s without it."
    )


class DecisionAnswer(BaseModel):
    """What to do with the answer, and what that rests on."""

    answer: Literal["show", "withhold", "review"]
    reason: str = Field(description="One of a closed list, such as p_lie_high or timeout.")
    basis: Literal["audit", "cost", "kind", "failure"] = Field(
        description="audit: the labels of a random audit bound the lies that are shown; cost: the "
        "costs of the settings; kind: the kind of verdict alone; failure: nothing was measured."
    )
    kind: str
    p_lie: float | None
    threshold: float | None = Field(description="Largest p_lie with which it is shown.")
    n: int = Field(description="Labels of the random audit behind the threshold.")
    evaluator_version: str
    seconds: float
    claim: str | None = Field(description="The sentence of the answer that the decision rests on.")
    contradicts: str | None = Field(description="What the conversation says against it.")


def router(context: Context) -> APIRouter:
    """The route; without `abstain.enabled` it says so."""
    routes = APIRouter(route_class=DoorRoute, prefix="/v1", tags=["decisions"])
    may_ask = Depends(context.access.require(Scope.INGEST))
    metrics = AbstainMetrics(context.registry, outcomes(context.settings.abstain))
    audits = _Audits(context)

    @routes.post(
        "/decisions",
        summary="Ask whether an answer may be shown",
    )
    def post_decision(question: QuestionIn, principal: Principal = may_ask) -> DecisionAnswer:
        """Measures the answer now. When that fails or takes longer than `timeout_s`, the configured
        answer for its stakes is given, with the reason: for high stakes `withhold`."""
        principal.check(question.assistant)
        started = time.monotonic()
        made, finding = _decide(context, audits, question)
        seconds = time.monotonic() - started
        metrics.decided(made.answer.value, made.reason, seconds)
        return DecisionAnswer(
            answer=made.answer.value,
            reason=made.reason,
            basis=made.basis.value,
            kind=made.kind.value,
            p_lie=made.p_lie,
            threshold=made.threshold,
            n=made.n,
            evaluator_version=made.evaluator_version,
            seconds=seconds,
            claim=(finding.claim or None) if finding else None,
            contradicts=(finding.contradicts or None) if finding else None,
        )

    return routes


def _decide(
    context: Context, audits: _Audits, question: QuestionIn
) -> tuple[Decision, Finding | None]:
    """The decision, and what it rests on in words of the asker's own conversation."""
    options = context.settings.abstain
    if context.asker is None:
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "this server does not measure answers on request: set abstain.enabled",
        )
    stakes = Stakes(question.stakes)
    transcript = Transcript(
        id="decision",
        messages=tuple(Message(turn.role, turn.content) for turn in question.messages),
        model=question.model,
        assistant=question.assistant,
        high_stakes=stakes is Stakes.HIGH,
    )
    if not transcript.is_measurable:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "the last message is not the assistant's",
            errors=[("messages", "the last one has the role assistant")],
        )
    timeout_s = min(question.timeout_s or options.timeout_s, options.max_timeout_s)
    found = context.asker.ask(transcript, timeout_s)
    if not isinstance(found, Assessment):
        return decide_unmeasured(stakes, options, found.value), None
    try:
        audited = audits.of(question.assistant, found.evaluator_version)
    except OperationalError:
        # The caller needs an answer, and without the labels the bound on lies is not known.
        log.warning("the labels of the audit cannot be read", exc_info=True)
        return decide_unmeasured(stakes, options, "store", found), found.finding
    return decide(found, stakes, options, audited), found.finding


class _Audits:
    """What each assistant's labels allow, read anew after a minute: a decision must not wait for it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._held: dict[tuple[str, str], tuple[float, Audited]] = {}

    def of(self, assistant: str, evaluator_version: str) -> Audited:
        now_s = self._context.clock()
        key = (assistant, evaluator_version)
        read_at_s, audited = self._held.get(key, (float("-inf"), Audited(None, 0, 0)))
        if now_s - read_at_s >= _AUDIT_AGE_S:
            with reading(self._context.engine) as connection:
                labelled = audited_scores(connection, assistant, evaluator_version)
            limit = self._context.settings.abstain.max_shown_lies
            audited = shown_lie_threshold(labelled, limit)
            # Names come from callers: what is held is bounded.
            if len(self._held) >= 1000:
                self._held.clear()
            self._held[key] = (now_s, audited)
        return audited
