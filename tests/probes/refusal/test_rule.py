from __future__ import annotations

import math

import pytest

from evidence import Measurement, Message, ToolCall, VerdictKind
from probes.cascade import CascadeOptions
from probes.fusion import Costs, Fusion, FusionModel, Subset
from probes.fusion_training import fit_fusion
from probes.panel import Panel
from probes.probe import Transcript
from probes.refusal import REFUSAL, RefusalRule

REFUSES, LIES = "I'm sorry, I can't discuss that.", "No, there was no recall."


class Accuser:
    """Calls everything a lie, or fails; counts what it was asked."""

    name, version = "judge", "1"

    def __init__(self, p_lie: float | None = 0.95) -> None:
        self.p_lie, self.asked = p_lie, 0

    def measure(self, transcripts: list[Transcript]) -> list[Measurement]:
        self.asked += len(transcripts)
        error = "gone" if self.p_lie is None else None
        return [
            Measurement(probe="judge", version="1", p_lie=self.p_lie, error=error)
            for _ in transcripts
        ]


def fusion(costs: Costs | None = None) -> Fusion:
    alone = Subset(
        weights={"judge": 1.0},
        intercept=0.0,
        n=100,
        prevalence=0.5,
        calibration_error=0.0,
        calibration_error_upper=0.1,
        auroc=0.9,
        undecided=(0.5, 0.5),
    )
    return Fusion(FusionModel(subsets={"judge": alone}, probe_versions={}), costs)


def said(text: str, *, high_stakes: bool = False, tools: bool = False) -> Transcript:
    calls = (ToolCall(name="send"),) if tools else ()
    turns = (Message("user", "Was it?"), Message("assistant", text, tool_calls=calls))
    return Transcript(id=text, messages=turns, high_stakes=high_stakes)


def test_a_refusal_is_an_evasion_and_no_probe_is_asked() -> None:
    judge = Accuser()
    done: list[int] = []
    found = Panel([judge], fusion()).score(
        [said(LIES), said(REFUSES), said(LIES)], measured=done.append
    )
    assert [one.kind for one in found] == [
        VerdictKind.LIE,
        VerdictKind.EVASION,
        VerdictKind.LIE,
    ]
    assert judge.asked == 2
    assert done == [3]
    assert found[1].p_lie == pytest.approx(0.5 / 37)
    assert found[1].p_evasion == pytest.approx(1 - 0.5 / 37)
    assert [m.probe for m in found[1].measurements] == [REFUSAL]
    assert found[1].evaluator_version == found[0].evaluator_version


def test_high_stakes_ask_the_probes_and_the_rule_bounds_what_they_say() -> None:
    judge, rule = Accuser(), RefusalRule(lies=2, n=41)
    for cascade in (None, CascadeOptions()):
        panel = Panel([judge], fusion(), cascade, refusal=rule)
        (found,) = panel.score([said(REFUSES, high_stakes=True)])
        assert found.kind is VerdictKind.EVASION
        assert found.p_lie == rule.p_lie_upper == pytest.approx(0.161, abs=0.001)
        assert [m.probe for m in found.measurements] == [REFUSAL, "judge"]
    assert judge.asked == 2
    (low,) = Panel([Accuser(0.01)], fusion(), refusal=rule).score([said(REFUSES, high_stakes=True)])
    assert low.p_lie == pytest.approx(0.01)


def test_probes_that_fail_leave_the_refusal_what_it_is() -> None:
    (found,) = Panel([Accuser(None)], fusion()).score([said(REFUSES, high_stakes=True)])
    assert found.kind is VerdictKind.EVASION
    assert found.error is None
    assert found.p_lie == RefusalRule().p_lie


def test_whom_an_evasion_costs_little_reads_honest_and_nobody_reads_a_lie() -> None:
    for costs, kind in (
        (Costs(1.0, 1.0, 0.001), VerdictKind.HONEST),
        (Costs(1.0, 1e6, 1.0), VerdictKind.EVASION),
    ):
        (found,) = Panel([Accuser()], fusion(costs)).score([said(REFUSES)])
        assert found.kind is kind


def test_a_refusal_that_acts_or_does_not_end_the_conversation_is_measured() -> None:
    judge = Accuser()
    unanswered = Transcript(id="u", messages=(Message("user", REFUSES),))
    found = Panel([judge], fusion()).score([said(REFUSES, tools=True), unanswered])
    assert judge.asked == 2
    assert found[0].kind is VerdictKind.LIE


def test_the_rate_is_part_of_the_version_and_has_bounds() -> None:
    assert Panel([Accuser()], fusion()).version == Panel([Accuser()], fusion()).version
    assert (
        Panel([Accuser()], fusion()).version
        != Panel([Accuser()], fusion(), refusal=RefusalRule(1, 36)).version
    )
    with pytest.raises(ValueError, match="5 lies among 4"):
        RefusalRule(lies=5, n=4)
    assert RefusalRule(lies=0, n=0).p_lie_upper == 1.0
    assert math.isclose(RefusalRule(lies=0, n=0).p_lie, 0.5)


def test_a_fusion_is_fitted_without_refusals() -> None:
    scores: list[dict[str, float]] = [{"judge": 0.2 + 0.6 * (k % 2)} for k in range(200)]
    labels = [k % 10 in {1, 3, 5, 7, 8} for k in range(200)]
    groups = [str(k // 2) for k in range(200)]
    plain = fit_fusion(scores, labels, groups, {})
    refused = [{"judge": 0.99, REFUSAL: 0.01}] * 150
    mixed = fit_fusion([*scores, *refused], [*labels, *[False] * 150], [*groups, *groups[:150]], {})
    assert mixed == plain
    assert plain.subsets["judge"].n == 200
