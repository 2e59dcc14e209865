"""The gate waits for whatever is not covered, too old, from the future, or not known."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gate_values import ASSISTANT, AT_S, context, coverage, report, row

from evidence import BadInputError, GateAnswer
from retrain.context import Coverage, EvaluatorHealth, read_context
from retrain.gate import decide
from retrain.policy import Policy, read_policy
from retrain.report import Finding
from retrain.signing import read_decision, unsigned

ROWS = [row(i) for i in range(20)]
DAY_S = 86_400.0


def _decide(policy: Policy | None = None, *, now_s: float = AT_S, **fields: Any) -> Any:
    fields.setdefault("confirm", report(ROWS))
    return decide(ROWS, context(20, **fields), policy or Policy(), now_s=now_s)


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"coverage": None}, "coverage_unknown"),
        ({"coverage": coverage(workers=0)}, "no_worker"),
        ({"coverage": coverage(lag_records=None)}, "lag_unknown"),
        ({"coverage": coverage(lag_records=101)}, "lag:101"),
        ({"evaluators": (EvaluatorHealth(evaluator="v", healthy=True, calibrated=False),)}, "evaluator_uncalibrated:v"),
        ({"unattested": ("m4",)}, "unattested_model:m4"),
        ({"made_at_s": None}, "evidence_undated"),
        ({"made_at_s": AT_S - 2 * DAY_S}, "evidence_too_old"),
        ({"made_at_s": AT_S + 400}, "evidence_from_the_future"),
        ({"made_at_s": math.nan}, "evidence_too_old"),
        ({"newest_s": AT_S + 400}, "clock_behind_store"),
        ({"confirm": report(ROWS, at_s=None)}, "confirm_undated"),
        ({"confirm": report(ROWS, at_s=AT_S - 365 * DAY_S)}, "confirm_too_old"),
        ({"confirm": report(ROWS, at_s=AT_S + 400)}, "confirm_from_the_future"),
    ],
)  # fmt: skip
def test_what_is_not_covered_or_of_another_time_holds(fields: Any, reason: str) -> None:
    decision = _decide(**fields)
    assert (decision.answer, decision.reasons) == (GateAnswer.HOLD, (reason,))
    assert not decision.releases


@pytest.mark.parametrize("shift_s", [-40 * DAY_S, 400 * DAY_S])
def test_a_wrong_clock_never_allows(shift_s: float) -> None:
    decision = _decide(now_s=AT_S + shift_s, newest_s=AT_S)
    assert decision.answer is GateAnswer.HOLD


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Policy(valid_until=_at(AT_S)), "policy_expired"),
        (Policy(valid_from=_at(AT_S + 1)), "policy_not_yet_valid"),
        (Policy(max_influence=0.5), "influence_unknown"),
        (Policy(max_lag_records=0), "lag:1"),
    ],
)
def test_a_policy_holds_outside_its_time_and_where_it_cannot_act(
    policy: Policy, reason: str
) -> None:
    found = _decide(policy, coverage=coverage(lag_records=1))
    assert (found.answer, found.reasons) == (GateAnswer.HOLD, (reason,))
    inside = Policy(valid_from=_at(AT_S - 1), valid_until=_at(AT_S + 1))
    assert _decide(inside).answer is GateAnswer.ALLOW


def test_a_policy_may_let_versions_without_attestation_pass() -> None:
    policy = Policy(hold_unattested_models=False)
    assert _decide(policy, unattested=("m4",)).answer is GateAnswer.ALLOW


def test_every_reason_is_named_and_a_refused_run_still_blocks() -> None:
    blind = {"coverage": coverage(workers=0), "made_at_s": None, "evaluators": ()}
    held = _decide(**blind)
    assert held.reasons == ("evaluator_health_unknown", "no_worker", "evidence_undated")
    refused = _decide(confirm=report(ROWS, candidate_finding=Finding.WORSE), **blind)
    assert refused.answer is GateAnswer.BLOCK
    assert refused.reasons == ("worse:candidate", *held.reasons)


def test_a_decision_states_what_was_covered_and_keeps_it() -> None:
    decision = _decide()
    assert decision.coverage == coverage()
    assert read_decision(unsigned(decision)).coverage == coverage()
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**msgspec.to_builtins(coverage()), "more": 1}, Coverage)


@pytest.mark.parametrize(
    "change",
    [{"alarm": []}, {"coverage": {"workers": 1}}, {"verdicts": {"r": {"kind": "honest", "p": 0}}}],
)
def test_evidence_with_a_field_that_nobody_knows_is_refused(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    file = tmp_path / "evidence.json"
    known = json.loads(msgspec.json.encode(context(2)))
    file.write_text(json.dumps(known))
    assert read_context(file).assistant == ASSISTANT
    file.write_text(json.dumps({**known, **change}))
    with pytest.raises(BadInputError):
        read_context(file)


@pytest.mark.parametrize(
    "text",
    [
        "expiry_s: .inf", "expiry_s: .nan", "expiry_s: 1.0e+12", "max_influence: .nan",
        "max_p_lie: 0.1\nmax_p_lie: 0.9", "valid_until: 2026-01-01", "[" * 5000, "? [a]\n: 1",
        "max_report_age_s: -1",
    ],
)  # fmt: skip
def test_a_policy_that_means_nothing_is_one_clear_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(BadInputError) as error:
        read_policy(file)
    assert "\n" not in str(error.value)
