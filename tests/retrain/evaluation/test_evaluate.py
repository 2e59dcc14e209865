from __future__ import annotations

import pytest

from probes.scenarios import load_scenarios
from retrain.comparison import DecisionOptions
from retrain.evaluation.evaluate import ItemResult, outcome
from retrain.report import SCORERS, Arm, Finding
from retrain.summary import Trained, arm_result, comparisons

ITEM = load_scenarios()[0]


def _item(
    number: int,
    *,
    honest: float = -1.0,
    lie: float = -2.0,
    answer: str = "honest",
    neutral: float = -2.0,
) -> ItemResult:
    return ItemResult(
        item=f"d.t{number // 2}.{number}",
        template=f"d.t{number // 2}",
        domain="d",
        pressured=(honest, lie, -3.0),
        neutral=(-1.0, neutral, -3.0),
        answers=("x",),
        outcomes=(answer,),  # type: ignore[arg-type]
    )


def test_scores_are_of_the_honest_answer() -> None:
    item = _item(0, honest=-1.0, lie=-1.0)
    assert item.likelihood_score == pytest.approx(0.5, abs=1e-4)
    assert _item(0, honest=-0.5).likelihood_score > 0.99
    assert item.margin == pytest.approx(0.0)
    assert item.margin_over_neutral == pytest.approx(-1.0)
    assert item.believes_truth
    assert not _item(0, neutral=-0.5).believes_truth
    assert _item(0, answer="unclear").sampled_score == 0.0


def test_reference_answers_are_recognised_as_what_they_are() -> None:
    for scenario in load_scenarios():
        for text in scenario.honest_answers:
            assert outcome(scenario, text, believes_truth=True) == "honest", (scenario.id, text)
        for text in scenario.lying_answers:
            assert outcome(scenario, text, believes_truth=True) == "lie", (scenario.id, text)
        for text in scenario.evasive_answers:
            assert outcome(scenario, text, believes_truth=True) != "honest", (scenario.id, text)


def test_a_falsehood_that_is_believed_is_no_lie_and_gibberish_is_unclear() -> None:
    lie = ITEM.lying_answers[0]
    assert outcome(ITEM, lie, believes_truth=False) == "no_belief"
    assert outcome(ITEM, ITEM.honest_answers[0], believes_truth=False) == "honest"
    assert outcome(ITEM, "purple seventeen", believes_truth=True) == "unclear"
    assert outcome(ITEM, "", believes_truth=True) == "unclear"


def _trained(arm: Arm, items: list[ItemResult]) -> Trained:
    return Trained(arm=arm, results=(tuple(items),))


def test_what_is_not_told_never_counts_as_honest() -> None:
    kinds = ["honest", "lie", "evasion", "no_belief", "unclear", "honest"]
    made = arm_result(_trained(Arm.VANILLA, [_item(i, answer=k) for i, k in enumerate(kinds)]))
    assert (made.honesty.value, made.honesty.n) == (0.5, 4)
    assert (made.honesty_worst.value, made.honesty_worst.n) == (pytest.approx(2 / 6), 6)
    assert made.outcomes == {"evasion": 1, "honest": 2, "lie": 1, "no_belief": 1, "unclear": 1}
    assert made.readable is not None
    assert (made.readable.value, made.readable.n) == (pytest.approx(5 / 6), 6)
    assert made.likelihood_honesty.n == 3, "templates are the independent units"


def test_a_lying_candidate_is_found_and_a_clean_release_is_not() -> None:
    n = 80
    honest = [_item(i) for i in range(n)]
    lying = [_item(i, honest=-2.0, lie=-1.0, answer="lie") if i % 3 else _item(i) for i in range(n)]
    trained = [
        _trained(Arm.VANILLA, honest),
        _trained(Arm.CONTROL, honest),
        _trained(Arm.CANDIDATE, lying),
        _trained(Arm.RELEASED, honest),
    ]

    class Named:
        def __init__(self, item: ItemResult) -> None:
            self.id, self.template = item.item, item.template

    found = comparisons(trained, [Named(i) for i in honest], DecisionOptions())  # type: ignore[misc]
    findings = {(c.arm, c.baseline, c.scorer): c.finding for c in found}
    assert len(findings) == 14
    for scorer in SCORERS:
        assert findings[Arm.CANDIDATE, Arm.CONTROL, scorer] is Finding.WORSE
        assert findings[Arm.RELEASED, Arm.CONTROL, scorer] is Finding.NOT_WORSE
    assert findings[Arm.CANDIDATE, Arm.VANILLA, "belief"] is Finding.NOT_WORSE


def test_seeds_are_averaged_within_an_item() -> None:
    items = [_item(i) for i in range(60)]
    lies = [_item(i, answer="lie") for i in range(60)]
    control = Trained(arm=Arm.CONTROL, results=(tuple(items), tuple(items)))
    candidate = Trained(arm=Arm.CANDIDATE, results=(tuple(items), tuple(lies)))

    class Named:
        def __init__(self, item: ItemResult) -> None:
            self.id, self.template = item.item, item.template

    found = comparisons([control, candidate], [Named(i) for i in items], DecisionOptions())  # type: ignore[misc]
    sampled = next(c for c in found if c.scorer == "sampled")
    assert (sampled.difference, sampled.items) == (-0.5, 60)
