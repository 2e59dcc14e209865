"""What a confirm run must have measured, and what its control may rest on, before it releases."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from gate_values import AT_S, context, report, row

from candor_guard.rows import Provenance
from evidence import GateAnswer
from retrain.arms import APPROVED_MODEL, control_rows
from retrain.comparison import proportion
from retrain.gate import decide
from retrain.policy import Policy
from retrain.report import Arm, ConfirmReport, ControlRows, Finding, Firmness

N = 20
ROWS = [row(i) for i in range(N)]
LIES = (3, 7)
KEPT = [r for i, r in enumerate(ROWS) if i not in LIES]
CURATED = ControlRows(digest="c", rows=N, sources={"curated@2": N})


def _decide(confirm: ConfirmReport, policy: Policy | None = None, **fields: Any) -> Any:
    rows = fields.pop("rows", ROWS)
    given = context(N, confirm=confirm, **fields)
    return decide(rows, given, policy or Policy(), now_s=AT_S)


def _arm(name: Arm, **fields: Any) -> ConfirmReport:
    """A good report with one arm changed."""
    made = report(ROWS)
    arms = tuple(
        msgspec.structs.replace(a, **fields) if a.arm is name else a for a in made.arms
    )  # fmt: skip
    return msgspec.structs.replace(made, arms=arms)


def _without(name: Arm) -> ConfirmReport:
    made = report(ROWS)
    return msgspec.structs.replace(made, arms=tuple(a for a in made.arms if a.arm is not name))


def _pairs(**fields: Any) -> ConfirmReport:
    made = report(ROWS)
    pairs = tuple(msgspec.structs.replace(c, **fields) for c in made.comparisons)
    return msgspec.structs.replace(made, comparisons=pairs)


def _firm(**fields: Any) -> ConfirmReport:
    found = Firmness(
        arm=Arm.CANDIDATE,
        baseline=Arm.CONTROL,
        margin=0.8,
        baseline_margin=1.3,
        templates=24,
        seeds=2,
        **fields,
    )
    return msgspec.structs.replace(report(ROWS), firmness=(found,))


@pytest.mark.parametrize(
    ("confirm", "reason"),
    [
        (_arm(Arm.CANDIDATE, readable=proportion(0, 24)), "unmeasured_answers:candidate:0.00"),
        (_arm(Arm.CANDIDATE, readable=proportion(0, 0)), "unmeasured_answers:candidate:unknown"),
        (_arm(Arm.CONTROL, readable=proportion(14, 24)), "unmeasured_answers:control:0.58"),
        (_arm(Arm.VANILLA, readable=None), "unmeasured_answers:vanilla:unknown"),
        (_arm(Arm.VANILLA, belief_accuracy=proportion(14, 24)), "no_belief:0.58"),
        (_without(Arm.CONTROL), "unmeasured_answers:control:unknown"),
        (_arm(Arm.CANDIDATE, last_loss=1.999), "no_learning:candidate:0.0005"),
        (_arm(Arm.CANDIDATE, last_loss=2.2), "no_learning:candidate:-0.1000"),
        (_arm(Arm.CANDIDATE, last_loss=None), "no_learning:candidate:unknown"),
        (_arm(Arm.CANDIDATE, adapter_norm=0.0), "no_learning:candidate:0.5000"),
        (_arm(Arm.CANDIDATE, dropped=2, cut=1), "rows_not_trained:candidate:0.15"),
        (_firm(kept=0.62, kept_upper=0.89), "less_firm:candidate:0.62"),
        (_pairs(margin=0.31), "margin_too_wide:0.31"),
        (_pairs(items=23), "too_few_items:23"),
        (_pairs(clusters=19), "too_few_templates:19"),
    ],
)  # fmt: skip
def test_a_run_that_measured_too_little_holds(confirm: ConfirmReport, reason: str) -> None:
    found = _decide(confirm)
    assert (found.answer, found.reasons) == (GateAnswer.HOLD, (reason,))
    assert not found.releases


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Policy(max_margin=0.1), "margin_too_wide:0.20"),
        (Policy(min_items=400), "too_few_items:40"),
        (Policy(min_templates=100), "too_few_templates:20"),
        (Policy(min_seeds=3), "too_few_seeds:2"),
        (Policy(models=("approved-7",)), "model_not_allowed:m"),
        (Policy(control_sources=("curated",)), "control_source_not_allowed:approved_model"),
    ],
)
def test_the_policy_bounds_what_a_run_may_be(policy: Policy, reason: str) -> None:
    found = _decide(report(ROWS), policy)
    assert (found.answer, found.reasons) == (GateAnswer.HOLD, (reason,))
    allowed = Policy(models=("m",), control_sources=(APPROVED_MODEL,))
    assert _decide(report(ROWS), allowed).answer is GateAnswer.ALLOW


@pytest.mark.parametrize("limit", [None, 0.95, 1.3])
def test_an_arm_that_may_be_as_firm_as_control_is_released(limit: float | None) -> None:
    assert _decide(_firm(kept=0.8, kept_upper=limit)).answer is GateAnswer.ALLOW
    less = _decide(_firm(kept=0.8, kept_upper=limit), Policy(min_firmness=1.0))
    assert (less.answer is GateAnswer.HOLD) is (limit == 0.95)


def test_one_seed_shows_nothing_unless_the_spread_is_known_from_an_earlier_run() -> None:
    one = msgspec.structs.replace(report(ROWS), seeds=(0,))
    found = _decide(one)
    assert (found.answer, found.reasons) == (GateAnswer.HOLD, ("too_few_seeds:1",))
    twice = msgspec.structs.replace(one, seeds=(0, 0))
    assert _decide(twice).reasons == ("too_few_seeds:1",)
    assert _decide(one, Policy(min_seeds=1)).answer is GateAnswer.ALLOW
    known = tuple(msgspec.structs.replace(c, seed_allowance=0.03) for c in one.comparisons)
    assert _decide(msgspec.structs.replace(one, comparisons=known)).answer is GateAnswer.ALLOW
    partly = (one.comparisons[0], *known[1:])
    assert _decide(msgspec.structs.replace(one, comparisons=partly)).answer is GateAnswer.HOLD


def _controlled(**fields: Any) -> ConfirmReport:
    rows = msgspec.structs.replace(CURATED, **fields)
    return msgspec.structs.replace(
        report(ROWS, KEPT), control="source:curated@2", control_rows=rows
    )


@pytest.mark.parametrize(
    ("fields", "policy", "reason"),
    [
        ({"sources": {"candor.feedback@m1": 20}}, Policy(), "control_source_not_allowed:candor.feedback@m1"),
        ({"sources": {"unknown": 20}}, Policy(), "control_source_not_allowed:unknown"),
        ({"sources": {"bad": 20}}, Policy(blocked_sources=("bad",)), "control_source_not_allowed:bad"),
        ({}, Policy(control_sources=("other",)), "control_source_not_allowed:curated@2"),
        ({"shared": {"candor.feedback@m1": 3}}, Policy(), "control_shares_rows:3"),
        ({"shared_raters": 1}, Policy(), "control_shares_raters:1"),
    ],
)  # fmt: skip
def test_a_control_that_is_not_independent_holds(
    fields: dict[str, Any], policy: Policy, reason: str
) -> None:
    found = _decide(_controlled(**fields), policy, rows=KEPT)
    assert (found.answer, found.reasons) == (GateAnswer.HOLD, (reason,))


def test_an_independent_control_releases() -> None:
    assert _decide(_controlled(), rows=KEPT).answer is GateAnswer.ALLOW
    assert _decide(_controlled(), Policy(control_sources=("curated",))).answer is GateAnswer.ALLOW
    shared = _controlled(shared={"dolly@1": 3})
    assert _decide(shared, Policy(trusted_sources=("dolly",))).answer is GateAnswer.ALLOW
    unknown = msgspec.structs.replace(_controlled(), control_rows=None)
    assert _decide(unknown).reasons == ("control_rows_unknown",)


def test_a_source_whose_rows_were_quarantined_controls_nothing() -> None:
    asked = [
        msgspec.structs.replace(
            r,
            provenance=msgspec.structs.replace(r.provenance, source="curated", source_version="1"),
        )
        for r in ROWS
    ]
    kept = [r for i, r in enumerate(asked) if i not in LIES]
    confirm = msgspec.structs.replace(
        report(asked, kept), control="source:curated@2", control_rows=CURATED
    )
    found = _decide(
        confirm, Policy(measured_sources=("curated",), control_sources=("curated",)),
        rows=asked, lies=LIES,
    )  # fmt: skip
    assert found.reasons == ("control_source_not_allowed:curated@2",)


def test_the_candidates_own_rows_are_no_control() -> None:
    copied = [
        msgspec.structs.replace(r, provenance=Provenance(source="curated", rater="u0"))
        for r in (*ROWS[:5], row(90), row(91))
    ]
    blanks = msgspec.structs.replace(
        copied[0], messages=tuple(msgspec.structs.replace(m, content=f" {m.content.upper()}  ") for m in copied[0].messages or ())
    )  # fmt: skip
    found = control_rows([blanks, *copied[1:]], ROWS)
    assert (found.rows, found.sources) == (7, {"curated": 7})
    assert (found.shared, found.shared_raters) == ({"candor.feedback@m1": 5}, 1)
    assert control_rows([row(90, rater="v")], ROWS).shared == {}


def test_what_is_worse_blocks_even_where_too_little_was_measured() -> None:
    bad = _arm(Arm.CANDIDATE, readable=proportion(2, 24))
    worse = msgspec.structs.replace(
        bad, comparisons=report(ROWS, candidate_finding=Finding.WORSE).comparisons
    )
    assert _decide(worse).reasons == ("worse:candidate",)
    unread = _pairs(finding=Finding.UNREADABLE, read=30)
    assert _decide(unread).reasons == ("unmeasured_answers:candidate:0.75",)


def test_every_reason_is_named_at_once() -> None:
    arms = _arm(Arm.CANDIDATE, readable=proportion(0, 24), last_loss=2.0)
    assert _decide(arms, Policy(min_seeds=3)).reasons == (
        "unmeasured_answers:candidate:0.00",
        "no_learning:candidate:0.0000",
        "too_few_seeds:2",
    )
