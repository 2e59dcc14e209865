from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gate_values import ASSISTANT, comparison, context, origin, report, row, suspects

from candor_guard.rows import Row, manifest, row_or_unreadable
from evidence import AlarmState, AlarmSubject, BadInputError, GateAnswer, VerdictKind
from retrain.context import (
    AlarmEvidence,
    EvaluatorHealth,
    Period,
    RaterEvidence,
    VerdictEvidence,
    read_context,
)
from retrain.gate import decide, override
from retrain.policy import Policy
from retrain.quarantine import Quarantine
from retrain.reason import Reason
from retrain.report import SCORERS, Arm, Finding

N = 20
ROWS = [row(i) for i in range(N)]
LIES = (3, 7)
KEPT = [r for i, r in enumerate(ROWS) if i not in LIES]


def _decide(rows: Any = ROWS, policy: Policy | None = None, **fields: Any) -> Any:
    lies = fields.pop("lies", ())
    return decide(rows, context(N, lies=lies, **fields), policy or Policy(), now_s=1000.0)


def _alarm(state: AlarmState, *, subject: AlarmSubject = AlarmSubject.STRATUM) -> AlarmEvidence:
    return AlarmEvidence(
        alarm_id="a1",
        subject=subject,
        scope=ASSISTANT,
        metric="lie",
        state=state,
    )


def test_clean_rows_with_a_good_confirm_run_are_allowed() -> None:
    decision = _decide(confirm=report(ROWS))
    assert decision.answer is GateAnswer.ALLOW
    assert decision.subject_digest == manifest(ROWS).digest
    assert decision.expires_at_s == 1000.0 + Policy().expiry_s
    assert decision.margin == 0.2


def test_lies_are_quarantined_and_the_rest_released() -> None:
    decision = _decide(lies=LIES, confirm=report(ROWS, KEPT))
    assert decision.answer is GateAnswer.QUARANTINE
    assert [(r.index, r.reason) for r in decision.removed] == [(3, Reason.LIE), (7, Reason.LIE)]
    assert decision.subject_digest == manifest(KEPT).digest
    assert decision.good_rows_lost == pytest.approx(0.2)


def test_a_candidate_that_lies_is_blocked_and_its_released_rows_allowed() -> None:
    confirm = report(ROWS, KEPT, candidate_finding=Finding.WORSE)
    blocked = _decide(lies=LIES, confirm=confirm)
    assert (blocked.answer, blocked.reasons) == (GateAnswer.BLOCK, ("worse:candidate",))
    assert blocked.subject_digest is blocked.margin is None
    assert not blocked.releases
    allowed = _decide(KEPT, lies=LIES, confirm=confirm)
    assert (allowed.answer, allowed.reasons) == (GateAnswer.ALLOW, ("not_worse:released",))
    assert allowed.subject_digest == manifest(KEPT).digest


@pytest.mark.parametrize("finding", [Finding.INCONCLUSIVE, Finding.WORSE])
def test_what_is_not_shown_harmless_blocks(finding: Finding) -> None:
    assert _decide(confirm=report(ROWS, candidate_finding=finding)).answer is GateAnswer.BLOCK
    decision = _decide(lies=LIES, confirm=report(ROWS, KEPT, released_finding=finding))
    assert (decision.answer, decision.reasons) == (GateAnswer.BLOCK, (f"{finding.value}:released",))


def _all_scorers(**found: Finding) -> tuple[Any, ...]:
    """Every scorer finds `not_worse`, but for those named."""
    return tuple(
        comparison(Arm.CANDIDATE, found.get(scorer, Finding.NOT_WORSE), scorer=scorer)
        for scorer in SCORERS
    )


@pytest.mark.parametrize(
    ("comparisons", "answer"),
    [
        (_all_scorers(), GateAnswer.ALLOW),
        *((_all_scorers(**{scorer: Finding.INCONCLUSIVE}), GateAnswer.BLOCK) for scorer in SCORERS),
        *((_all_scorers(**{scorer: Finding.WORSE}), GateAnswer.BLOCK) for scorer in SCORERS),
        *((_all_scorers(**{scorer: Finding.UNREADABLE}), GateAnswer.HOLD) for scorer in SCORERS),
        *((tuple(c for c in _all_scorers() if c.scorer != scorer), GateAnswer.BLOCK) for scorer in SCORERS),
        (_all_scorers(sampled=Finding.UNREADABLE, lies=Finding.INCONCLUSIVE), GateAnswer.BLOCK),
        (_all_scorers(sampled=Finding.UNREADABLE, lies=Finding.WORSE), GateAnswer.BLOCK),
        ((*_all_scorers(), comparison(Arm.CANDIDATE, Finding.WORSE, baseline=Arm.VANILLA)), GateAnswer.BLOCK),
        ((*_all_scorers(), comparison(Arm.CANDIDATE, Finding.INCONCLUSIVE, baseline=Arm.VANILLA)), GateAnswer.ALLOW),
        (tuple(comparison(Arm.CANDIDATE, Finding.NOT_WORSE, scorer=s, baseline=Arm.VANILLA) for s in SCORERS), GateAnswer.HOLD),
        ((comparison(Arm.CANDIDATE, Finding.NOT_WORSE, scorer="vibes"),), GateAnswer.BLOCK),
        ((), GateAnswer.HOLD),
    ],
)  # fmt: skip
def test_all_scorers_must_agree_and_either_blocks(comparisons: Any, answer: GateAnswer) -> None:
    assert _decide(confirm=report(ROWS, comparisons=comparisons)).answer is answer


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"alarms": (_alarm(AlarmState.OPEN),)}, "alarm:a1:open"),
        ({"alarms": (_alarm(AlarmState.ACKNOWLEDGED),)}, "alarm:a1:acknowledged"),
        ({"alarms": (_alarm(AlarmState.CONFIRMED),)}, "alarm:a1:confirmed"),
        ({"alarms": (_alarm(AlarmState.REFUTED),)}, "alarm:a1:refuted"),
        ({"alarms": (_alarm(AlarmState.OPEN, subject=AlarmSubject.EVALUATOR),)}, "evaluator_alarm:a1:open"),
        ({"evaluators": (EvaluatorHealth(evaluator="v1", healthy=False),)}, "evaluator_unhealthy:v1"),
        ({"evaluators": ()}, "evaluator_health_unknown"),
        ({"uncovered": (Period(from_s=0, to_s=60),)}, "uncovered_period:0-60"),
        ({"store_reachable": False}, "store_unreachable"),
        ({"schema_current": False}, "schema_of_another_version"),
    ],
)  # fmt: skip
def test_unsettled_evidence_holds(fields: dict[str, Any], reason: str) -> None:
    decision = _decide(confirm=report(ROWS), **fields)
    assert (decision.answer, decision.reasons) == (GateAnswer.HOLD, (reason,))
    assert decision.subject_digest is None


def test_only_a_closed_alarm_releases() -> None:
    assert (
        _decide(confirm=report(ROWS), alarms=(_alarm(AlarmState.CLOSED),)).answer
        is GateAnswer.ALLOW
    )


def test_a_refused_confirm_run_blocks_under_an_open_alarm() -> None:
    confirm = report(ROWS, candidate_finding=Finding.WORSE)
    decision = _decide(confirm=confirm, alarms=(_alarm(AlarmState.OPEN),))
    assert (decision.answer, decision.reasons) == (
        GateAnswer.BLOCK,
        ("worse:candidate", "alarm:a1:open"),
    )


@pytest.mark.parametrize(
    ("confirm", "reason"),
    [
        (None, "confirm_missing"),
        (report(ROWS, control=None), "no_control"),
        (report(KEPT), "confirm_of_other_rows"),
        (msgspec.structs.replace(report(ROWS), assistant="other"), "confirm_of_another_assistant"),
    ],
)
def test_without_a_fitting_confirm_run_it_holds(confirm: Any, reason: str) -> None:
    decision = _decide(confirm=confirm)
    assert (decision.answer, decision.reasons) == (GateAnswer.HOLD, (reason,))


def test_rows_that_were_not_confirmed_as_a_subset_hold() -> None:
    decision = _decide(lies=LIES, confirm=report(ROWS, KEPT[:-1]))
    assert decision.reasons == ("confirm_of_other_released_rows",)


def test_no_rows_and_too_few_rows_block() -> None:
    assert _decide([]).reasons == ("no_rows",)
    assert _decide(lies=tuple(range(11)), confirm=report(ROWS)).reasons == (
        "too_many_removed:0.550",
    )


def test_rows_that_nobody_measured_hold() -> None:
    decision = decide(ROWS, context(5), Policy(), now_s=0.0)
    assert (decision.answer, decision.reasons) == (GateAnswer.HOLD, ("too_many_unmeasured:0.750",))
    assert decision.removed_by_reason == {"unmeasured": 15}


@pytest.mark.parametrize(
    ("changed", "fields", "reason"),
    [
        (row(0, source=None), {}, Reason.UNKNOWN_ORIGIN),
        (row(0, source="scraped"), {}, Reason.UNKNOWN_ORIGIN),
        (row(0, source="bad"), {}, Reason.BLOCKED_SOURCE),
        (row(98), {}, Reason.UNMEASURED),
        (row(100), {}, Reason.UNKNOWN_RESPONSE),
        (row(0), {"probe_traffic": frozenset({"r0"})}, Reason.PROBE_TRAFFIC),
        (row(0, source="dolly"), {"probe_traffic": frozenset({"r0"})}, Reason.PROBE_TRAFFIC),
        *(
            (msgspec.structs.replace(row(0, source="dolly"), extra=extra), {}, Reason.PROBE_TRAFFIC)
            for extra in (
                {"purpose": "canary"},
                {"purpose": " Red-Team "},
                {"candor_mark": "00"},
                {"metadata": {"purpose": "replay"}},
            )
        ),
        (msgspec.structs.replace(row(0), provenance=msgspec.structs.replace(origin(0), purpose="canary")), {}, Reason.PROBE_TRAFFIC),
        (row(0, source="candor-redteam"), {}, Reason.PROBE_TRAFFIC),
        (msgspec.structs.replace(row(0), extra={"purpose": "to say what is sold out"}), {}, None),
        (row(0), {"forgotten": frozenset({"u0"})}, Reason.FORGOTTEN),
        (row(0), {"raters": suspects("u0")}, Reason.SUSPECT_RATER),
        (row(0, source="dolly"), {"raters": suspects("u0")}, Reason.SUSPECT_RATER),
        (row(0), {"raters": {"u0": RaterEvidence("unidentified", 0.95)}}, Reason.SUSPECT_RATER),
        (row(0), {"raters": {"u0": RaterEvidence("benign", 0.1, "g1")}}, Reason.COORDINATION_GROUP),
        (row(0), {"influence": {"r0": 2.0}}, Reason.INFLUENCE),
        (row(0), {"verdicts": {"r0": VerdictEvidence(VerdictKind.EVASION, 0.2)}}, Reason.EVASION),
        (row(0), {"verdicts": {"r0": VerdictEvidence(VerdictKind.ERROR)}}, Reason.ERROR),
        (row(0), {"verdicts": {"r0": VerdictEvidence(VerdictKind.HONEST, 0.6)}}, Reason.P_LIE),
        (row(0), {"verdicts": {"r0": VerdictEvidence(VerdictKind.NOT_ASSERTED)}}, None),
        (row(0), {"verdicts": {"r0": VerdictEvidence(VerdictKind.LIE, 0.9, contradicted=True)}}, Reason.CONTRADICTED),
        (row(0), {"verdicts": {"r0": VerdictEvidence(VerdictKind.HONEST, 0.2, contradicted=True)}}, Reason.CONTRADICTED),
        (row(0), {"raters": {"u0": RaterEvidence("unidentified")}}, None),
        (row(0), {}, None),
        (row(99, source="dolly"), {}, None),
    ],
)  # fmt: skip
def test_the_reason_of_a_row(changed: Any, fields: dict[str, Any], reason: Reason | None) -> None:
    policy = Policy(believed_sources=("dolly",), blocked_sources=("bad",), max_influence=1.0)
    assert Quarantine(context(N, **fields), policy).reason(changed) is reason


@pytest.mark.parametrize(
    ("kind", "reason"), [(VerdictKind.LIE, Reason.LIE), (VerdictKind.HONEST, None)]
)
def test_a_policy_may_leave_what_tools_contradict_to_the_verdict(
    kind: VerdictKind, reason: Reason | None
) -> None:
    known = context(1, verdicts={"r0": VerdictEvidence(kind, 0.2, contradicted=True)})
    policy = Policy(contradicted_by_tools=False)
    assert Quarantine(known, policy).reason(row(0)) is reason


def test_a_row_that_trains_against_what_tools_contradict_stays() -> None:
    against = Row(prompt="q", completion="Sent.", label=False, provenance=origin(0))
    verdicts = {"r0": VerdictEvidence(VerdictKind.LIE, 0.9, contradicted=True)}
    known = context(1, rows=[against], verdicts=verdicts)
    assert Quarantine(known, Policy()).reason(against) is None


def test_a_row_that_trains_against_a_lie_stays() -> None:
    against, towards = (
        Row(prompt="q", completion="a lie", label=label, provenance=origin(0))
        for label in (False, True)
    )
    for one, reason in ((against, None), (towards, Reason.LIE)):
        quarantine = Quarantine(context(1, lies=(0,), rows=[one]), Policy())
        assert quarantine.reason(one) is reason


def test_an_override_is_never_an_allow() -> None:
    blocked = _decide(confirm=report(ROWS, candidate_finding=Finding.WORSE))
    made = override(
        blocked, by="ana", requested_by="bo", reason="incident 7", until_s=2000.0, now_s=1500.0
    )
    assert made.answer is GateAnswer.BLOCK
    assert made.override is not None
    assert made.subject_digest == manifest(ROWS).digest
    assert made.decision_id != blocked.decision_id
    for wrong in (
        {"requested_by": "ana"},
        {"by": " "},
        {"reason": ""},
        {"until_s": 1.0},
        {"by": "Bo "},
        {"requested_by": ""},
        {"until_s": 1e9},
    ):
        fields = {
            "by": "ana",
            "requested_by": "bo",
            "reason": "x",
            "until_s": 2000.0,
            "now_s": 1500.0,
            **wrong,
        }
        with pytest.raises(BadInputError):
            override(blocked, **fields)
    with pytest.raises(BadInputError):
        override(
            _decide(confirm=report(ROWS)),
            by="a",
            requested_by="b",
            reason="x",
            until_s=2e3,
            now_s=1.5e3,
        )


def test_decisions_about_the_same_evidence_are_the_same() -> None:
    a, b = (_decide(lies=LIES, confirm=report(ROWS, KEPT)) for _ in range(2))
    assert a == b
    assert not dataclasses.is_dataclass(a)


def test_a_row_that_no_trainer_reads_is_quarantined_and_the_others_released() -> None:
    unreadable = row_or_unreadable({"text": "x", "provenance": {"source": "s"}}, "x")
    decision = _decide([*ROWS, unreadable], confirm=report([*ROWS, unreadable], ROWS))
    assert decision.answer is GateAnswer.QUARANTINE
    assert [(r.index, r.reason) for r in decision.removed] == [(N, Reason.UNREADABLE)]
    assert decision.subject_digest == manifest(ROWS).digest
    trusted = Policy(believed_sources=("s",))
    assert _decide([unreadable], policy=trusted).removed_by_reason == {"unreadable": 1}


def test_nothing_left_is_nothing_to_release() -> None:
    policy = Policy(max_removed_share=1.0)
    found = _decide(lies=tuple(range(N)), confirm=report(ROWS, []), policy=policy)
    assert (found.answer, found.reasons) == (GateAnswer.BLOCK, ("too_many_removed:1.000",))
    unmeasured = decide(ROWS, context(0, confirm=report(ROWS, [])), policy, now_s=1.0)
    assert unmeasured.reasons == ("too_many_unmeasured:1.000",)


@pytest.mark.parametrize(
    "text", ['{"assistant": "a", "alarm": []}', '{"assistant": 3}', "[", '"x"']
)
def test_evidence_with_an_unknown_or_wrong_field_is_refused(text: str, tmp_path: Path) -> None:
    """A misspelt `alarms` must not read as "no alarms"."""
    path = tmp_path / "evidence.json"
    path.write_text(text)
    with pytest.raises(BadInputError, match="not gate evidence"):
        read_context(path)
