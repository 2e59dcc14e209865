"""Rows, evidence and reports for tests."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from candor_guard.rows import ChatMessage, Provenance, Row, manifest
from evidence import Message, VerdictKind, words_digest
from retrain.context import (
    Coverage,
    EvaluatorHealth,
    GateContext,
    RaterEvidence,
    StoredFeedback,
    StoredResponse,
    VerdictEvidence,
)
from retrain.report import SCORERS, Arm, ArmResult, Comparison, ConfirmReport, Finding, Rate

ASSISTANT = "support"
HEALTHY = (EvaluatorHealth(evaluator="v1", healthy=True),)


AT_S = 1000.0
"""When the tests' evidence and reports were made, where nothing else is said."""


def coverage(at_s: float = AT_S, **changed: object) -> Coverage:
    values: dict[str, object] = {
        "from_s": at_s - 86_400.0,
        "to_s": at_s,
        "workers": 1,
        "lag_records": 0,
        "responses": 20,
        "verdicts": 20,
        "dead_letters": 0,
        **changed,
    }
    return Coverage(**values)  # type: ignore[arg-type]


def row(
    number: int, *, rater: str = "u0", source: str | None = "candor.feedback", answer: str = "No."
) -> Row:
    return Row(
        messages=(
            ChatMessage("system", "You know the facts."),
            ChatMessage("user", f"Is item {number} sold out?"),
            ChatMessage("assistant", f"{answer} ({number})"),
        ),
        provenance=origin(number, rater=rater, source=source),
    )


def origin(number: int, *, rater: str = "u0", source: str | None = "candor.feedback") -> Provenance:
    return Provenance(
        source=source,
        source_version="m1",
        response_id=f"r{number}",
        feedback_id=f"f{number}-{rater}",
        rater=rater,
        collected_at="1970-01-01T00:16:40Z",
    )


def stored(rows: list[Row]) -> dict[str, Any]:
    """The fields of a context whose store holds what these rows say, each a like or what its label says."""
    named = [(r, r.provenance) for r in rows if r.provenance.response_id is not None]
    return {
        "responses": {
            p.response_id: StoredResponse(
                p.source_version or "m1",
                words_digest((*r.prompt_messages(), answer)),
                words_digest(r.prompt_messages()),
                words_digest((answer,)),
            )
            for r, p in named
            for answer in [Message("assistant", r.response_text())]
        },
        "feedback": {
            p.feedback_id: StoredFeedback(
                p.response_id or "",
                p.rater or "",
                1.0 if r.endorses else -1.0,
                datetime.fromisoformat(p.collected_at or "").timestamp(),
            )
            for r, p in named
            if p.feedback_id is not None
        },
    }


def context(
    n: int,
    *,
    lies: tuple[int, ...] = (),
    at_s: float = AT_S,
    rows: list[Row] | None = None,
    **fields: object,
) -> GateContext:
    """Verdicts of the responses r0 to r`n` - 1, in a store that holds `rows`, or else a hundred of `row`."""
    verdicts = {
        f"r{i}": VerdictEvidence(VerdictKind.LIE, 0.9)
        if i in lies
        else VerdictEvidence(VerdictKind.HONEST, 0.1)
        for i in range(n)
    }
    values: dict[str, object] = {
        "verdicts": verdicts,
        **stored([row(i) for i in range(100)] if rows is None else rows),
        "evaluators": HEALTHY,
        "coverage": coverage(at_s),
        "made_at_s": at_s,
        **fields,
    }
    return GateContext(assistant=ASSISTANT, **values)  # type: ignore[arg-type]


def suspects(*names: str) -> dict[str, RaterEvidence]:
    return {name: RaterEvidence("suspect", 0.97) for name in names}


def comparison(
    arm: Arm, finding: Finding, *, scorer: str = "likelihood", baseline: Arm = Arm.CONTROL
) -> Comparison:
    return Comparison(
        arm=arm,
        baseline=baseline,
        scorer=scorer,
        finding=finding,
        difference=0.0,
        read=40,
        lower=-0.1,
        upper=0.1,
        items=40,
        clusters=20,
        margin=0.2,
        log_e_release=4.0,
        log_e_block=0.0,
    )


LEARNED: dict[str, float] = {"first_loss": 2.0, "last_loss": 1.0, "adapter_norm": 0.3}


def arm_result(arm: Arm, rows: list[Row]) -> ArmResult:
    rate = Rate(value=0.9, lower=0.8, upper=0.95, n=40)
    return ArmResult(
        arm=arm,
        honesty=rate,
        honesty_worst=rate,
        likelihood_honesty=rate,
        belief_accuracy=rate,
        margin=1.0,
        margin_over_neutral=0.0,
        outcomes={"honest": 36, "lie": 4},
        readable=Rate(value=1.0, lower=0.9, upper=1.0, n=40),
        rows=len(rows),
        rows_digest=manifest(rows).digest if rows else "",
        trained_digest="t",
        **({} if arm is Arm.VANILLA else LEARNED),
    )


def report(
    candidate: list[Row],
    released: list[Row] | None = None,
    *,
    candidate_finding: Finding = Finding.NOT_WORSE,
    released_finding: Finding = Finding.NOT_WORSE,
    control: str | None = "approved_model",
    comparisons: tuple[Comparison, ...] | None = None,
    run_id: str = "run-1",
    at_s: float | None = AT_S,
) -> ConfirmReport:
    arms = [arm_result(Arm.VANILLA, []), arm_result(Arm.CONTROL, candidate)]
    found = []
    for arm, rows, finding in (
        (Arm.CANDIDATE, candidate, candidate_finding),
        (Arm.RELEASED, released, released_finding),
    ):
        if rows is None:
            continue
        arms.append(arm_result(arm, rows))
        found += [comparison(arm, finding, scorer=scorer) for scorer in SCORERS]
    return ConfirmReport(
        run_id=run_id,
        assistant=ASSISTANT,
        model_digest="m",
        control=control,
        arms=tuple(arms),
        comparisons=tuple(found) if comparisons is None else comparisons,
        seeds=(0, 1),
        items_digest="i",
        plan_digest="p",
        seconds=1.0,
        made_at_s=at_s,
    )
