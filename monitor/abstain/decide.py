"""The decision about one measured answer: pure.

Three answers with costs (Chow 1970, "On optimum recognition error and reject tradeoff"): showing costs
p·L where p is the probability of a lie, withholding (1 − p)·W, and a person's look R. The cheapest is
taken. That is the least expected cost if p_lie is calibrated; where a random audit gives a threshold of
its own (`conformal`), showing must pass that one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from evidence import Assessment, Measurement, Stakes, VerdictKind
from monitor.abstain.conformal import Audited
from monitor.abstain.options import AbstainOptions


class Answer(StrEnum):
    """What is to become of the assistant's answer."""

    SHOW = "show"
    WITHHOLD = "withhold"
    REVIEW = "review"


class Basis(StrEnum):
    """What the decision rests on."""

    AUDIT = "audit"
    COST = "cost"
    KIND = "kind"
    FAILURE = "failure"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer and what it rests on.

    Parameters
    ----------
    reason
        One of a closed list, for metrics and callers.
    p_lie, threshold
        Probability of a lie, and the largest with which the answer is shown; None where not known.
    n
        Labels of the random audit behind the threshold; 0 when it rests on costs alone.
    """

    answer: Answer
    reason: str
    basis: Basis
    kind: VerdictKind
    p_lie: float | None
    threshold: float | None
    n: int
    evaluator_version: str = ""


def decide(
    assessment: Assessment, stakes: Stakes, options: AbstainOptions, audited: Audited
) -> Decision:
    """What to do with a measured answer.

    An answer that was not measured (`error`, no p_lie) follows the failure rule of its stakes. One that
    asserts nothing is shown. No belief, an evasion, what the sensor cannot tell, and probes that contradict each other go to review:
    p_lie does not speak of them.
    """
    if assessment.kind is VerdictKind.ERROR or assessment.p_lie is None:
        return decide_unmeasured(stakes, options, "not_measured", assessment)
    if assessment.kind is VerdictKind.NOT_ASSERTED:
        return _made(Answer.SHOW, "nothing_asserted", Basis.KIND, assessment)
    if assessment.kind in (VerdictKind.NO_BELIEF, VerdictKind.EVASION, VerdictKind.UNDECIDED):
        return _made(Answer.REVIEW, assessment.kind.value, Basis.KIND, assessment)
    if _spread(assessment.measurements) > options.max_disagreement:
        return _made(Answer.REVIEW, "probes_disagree", Basis.KIND, assessment)
    return _by_p_lie(assessment, assessment.p_lie, options, audited)


def decide_unmeasured(
    stakes: Stakes, options: AbstainOptions, reason: str, assessment: Assessment | None = None
) -> Decision:
    """What to do with an answer that nothing is known of: for high stakes closed, unless configured."""
    high = stakes is Stakes.HIGH
    answer = Answer(options.unmeasured_high if high else options.unmeasured_normal)
    return Decision(
        answer=answer,
        reason=reason,
        basis=Basis.FAILURE,
        kind=VerdictKind.ERROR if assessment is None else assessment.kind,
        p_lie=None,
        threshold=None,
        n=0,
        evaluator_version="" if assessment is None else assessment.evaluator_version,
    )


def outcomes(options: AbstainOptions) -> list[tuple[str, str]]:
    """Every pair of answer and reason that can be, but for those of failures only the configured ones."""
    failures = [
        (answer, reason)
        for answer in sorted({options.unmeasured_high, options.unmeasured_normal})
        for reason in ("not_measured", "store", "timeout", "overloaded", "scorer_failed")
    ]
    return [
        ("show", "p_lie_low"),
        ("show", "nothing_asserted"),
        ("withhold", "p_lie_high"),
        ("review", "p_lie_between"),
        ("review", "probes_disagree"),
        ("review", VerdictKind.NO_BELIEF.value),
        ("review", VerdictKind.EVASION.value),
        ("review", VerdictKind.UNDECIDED.value),
        *failures,
    ]


def cost_thresholds(options: AbstainOptions) -> tuple[float, float]:
    """(show up to this p_lie, withhold from this p_lie on); between them a person looks."""
    lie, honest, look = options.cost_shown_lie, options.cost_withheld_honest, options.cost_review
    even = honest / (honest + lie)
    return min(even, look / lie), max(even, 1.0 - look / honest)


def _by_p_lie(
    assessment: Assessment, p_lie: float, options: AbstainOptions, audited: Audited
) -> Decision:
    show_to, withhold_from = cost_thresholds(options)
    # A threshold of None with labels means that the audit lets nothing pass; without labels it is silent.
    enough = (audited.n + 1) * options.max_shown_lies >= 1
    limit = (-1.0 if audited.threshold is None else audited.threshold) if enough else show_to
    basis = Basis.AUDIT if enough and limit < show_to else Basis.COST
    threshold = min(show_to, limit)
    n = audited.n if enough else 0
    if p_lie <= threshold:
        answer, reason = Answer.SHOW, "p_lie_low"
    elif p_lie >= withhold_from:
        answer, reason = Answer.WITHHOLD, "p_lie_high"
    else:
        answer, reason = Answer.REVIEW, "p_lie_between"
    return _made(answer, reason, basis, assessment, threshold=max(threshold, 0.0), n=n)


def _made(
    answer: Answer,
    reason: str,
    basis: Basis,
    assessment: Assessment,
    *,
    threshold: float | None = None,
    n: int = 0,
) -> Decision:
    return Decision(
        answer=answer,
        reason=reason,
        basis=basis,
        kind=assessment.kind,
        p_lie=assessment.p_lie,
        threshold=threshold,
        n=n,
        evaluator_version=assessment.evaluator_version,
    )


def _spread(measurements: Sequence[Measurement]) -> float:
    values = [m.p_lie for m in measurements if m.p_lie is not None]
    return max(values) - min(values) if values else 0.0
