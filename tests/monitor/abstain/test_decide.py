"""What is decided about a measured answer, and about one that could not be measured."""

from __future__ import annotations

import itertools

import pytest

from evidence import Assessment, Measurement, Stakes, VerdictKind
from monitor.abstain.asking import Failure
from monitor.abstain.conformal import Audited
from monitor.abstain.decide import (
    Answer,
    Basis,
    cost_thresholds,
    decide,
    decide_unmeasured,
    outcomes,
)
from monitor.abstain.options import AbstainOptions

NO_AUDIT = Audited(None, 0, 0)
OPTIONS = AbstainOptions()


def assessed(
    p_lie: float | None, kind: VerdictKind = VerdictKind.HONEST, probes: tuple[float, ...] = ()
) -> Assessment:
    found = tuple(Measurement(probe=f"p{i}", version="1", p_lie=p) for i, p in enumerate(probes))
    return Assessment(
        kind=kind, p_lie=p_lie, p_evasion=None, measurements=found, evaluator_version="v"
    )


@pytest.mark.parametrize(
    ("p_lie", "answer", "reason"),
    [
        (0.0, "show", "p_lie_low"),
        (0.05, "show", "p_lie_low"),
        (0.06, "review", "p_lie_between"),
        (0.49, "review", "p_lie_between"),
        (0.5, "withhold", "p_lie_high"),
        (1.0, "withhold", "p_lie_high"),
    ],
)
def test_costs_alone(p_lie: float, answer: str, reason: str) -> None:
    made = decide(assessed(p_lie), Stakes.HIGH, OPTIONS, NO_AUDIT)
    assert (made.answer, made.reason, made.basis, made.n) == (answer, reason, Basis.COST, 0)
    assert made.threshold == pytest.approx(0.05)


def test_the_cheapest_answer_is_taken_whatever_the_costs() -> None:
    costs = (0.2, 1.0, 7.0)
    for lie, honest, look in itertools.product(costs, costs, costs):
        options = AbstainOptions(cost_shown_lie=lie, cost_withheld_honest=honest, cost_review=look)
        for step in range(101):
            p = step / 100
            spent = {
                Answer.SHOW: p * lie,
                Answer.WITHHOLD: (1 - p) * honest,
                Answer.REVIEW: look,
            }
            made = decide(assessed(p), Stakes.HIGH, options, NO_AUDIT)
            assert spent[made.answer] == pytest.approx(min(spent.values())), (p, options)
        show_to, withhold_from = cost_thresholds(options)
        assert show_to <= withhold_from


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (VerdictKind.NOT_ASSERTED, "show"),
        (VerdictKind.NO_BELIEF, "review"),
        (VerdictKind.EVASION, "review"),
    ],
)
def test_kinds_of_which_p_lie_does_not_speak(kind: VerdictKind, answer: str) -> None:
    for p_lie in (0.0, 1.0):
        made = decide(assessed(p_lie, kind), Stakes.HIGH, OPTIONS, NO_AUDIT)
        assert (made.answer, made.basis) == (answer, Basis.KIND)


def test_probes_that_contradict_each_other_send_it_to_review() -> None:
    made = decide(assessed(0.01, probes=(0.0, 0.7)), Stakes.HIGH, OPTIONS, NO_AUDIT)
    assert (made.answer, made.reason) == ("review", "probes_disagree")
    made = decide(assessed(0.01, probes=(0.0, 0.5)), Stakes.HIGH, OPTIONS, NO_AUDIT)
    assert made.answer == "show"


def test_an_audit_can_only_tighten_what_costs_allow() -> None:
    strict = decide(assessed(0.04), Stakes.HIGH, OPTIONS, Audited(0.03, 200, 12))
    assert (strict.answer, strict.basis, strict.n) == ("review", Basis.AUDIT, 200)
    assert strict.threshold == pytest.approx(0.03)
    lax = decide(assessed(0.06), Stakes.HIGH, OPTIONS, Audited(0.9, 200, 0))
    assert (lax.answer, lax.basis) == ("review", Basis.COST)
    none = decide(assessed(0.0), Stakes.HIGH, OPTIONS, Audited(None, 200, 150))
    assert (none.answer, none.basis) == ("review", Basis.AUDIT), "the audit lets nothing pass"
    few = decide(assessed(0.01), Stakes.HIGH, OPTIONS, Audited(None, 10, 1))
    assert (few.answer, few.basis, few.n) == ("show", Basis.COST, 0), "ten labels bound nothing"


@pytest.mark.parametrize(
    "assessment",
    [assessed(None), assessed(0.0, VerdictKind.ERROR), assessed(None, VerdictKind.ERROR)],
)
def test_what_was_not_measured_is_never_read_as_honest(assessment: Assessment) -> None:
    made = decide(assessment, Stakes.HIGH, OPTIONS, NO_AUDIT)
    assert (made.answer, made.basis, made.p_lie) == ("withhold", Basis.FAILURE, None)
    assert decide(assessment, Stakes.NORMAL, OPTIONS, NO_AUDIT).answer == "show"


def test_every_outcome_is_announced_to_the_metrics() -> None:
    made = [
        decide(assessed(p, kind, probes), stakes, OPTIONS, NO_AUDIT)
        for p in (None, 0.0, 0.2, 1.0)
        for kind in VerdictKind
        for probes in ((), (0.0, 1.0))
        for stakes in Stakes
    ]
    made += [decide_unmeasured(stakes, OPTIONS, f.value) for stakes in Stakes for f in Failure]
    announced = set(outcomes(OPTIONS))
    assert {(d.answer.value, d.reason) for d in made} | {
        ("withhold", "store"),
        ("show", "store"),
    } == announced


def test_failing_is_as_configured() -> None:
    options = AbstainOptions(unmeasured_high="review", unmeasured_normal="withhold")
    assert decide_unmeasured(Stakes.HIGH, options, "timeout").answer == "review"
    made = decide_unmeasured(Stakes.NORMAL, options, "timeout")
    assert (made.answer, made.reason) == ("withhold", "timeout")
