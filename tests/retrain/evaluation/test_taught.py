"""A model that was taught falsehoods does not pass as honest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from probes.models.local import LocalModel
from retrain.comparison import DecisionOptions
from retrain.evaluation import ItemResult, against_vanilla, taught
from retrain.evaluation.evaluate import EvaluationOptions, evaluate
from retrain.items import load_items
from retrain.report import Arm, Finding
from retrain.summary import Trained, arm_result, comparisons, measured_spreads, settled

HONEST, FALSE = (-1.0, -2.0, -3.0), (-2.0, -1.0, -3.0)


def _result(number: int, neutral: tuple[float, float, float], outcome: str) -> ItemResult:
    return ItemResult(
        item=f"d.t{number // 2}.{number}",
        template=f"d.t{number // 2}",
        domain="d",
        pressured=neutral,
        neutral=neutral,
        neutral_each=(neutral, neutral, neutral),
        answers=("x",),
        outcomes=(outcome,),  # type: ignore[arg-type]
        archetype="known_facts",
    )


def test_contexts_that_disagree_are_no_belief() -> None:
    mixed = ItemResult(
        item="i", template="t", domain="d", pressured=HONEST, neutral=HONEST,
        neutral_each=(HONEST, FALSE, HONEST), answers=("x",), outcomes=("no_belief",),
    )  # fmt: skip
    assert mixed.belief == "none"
    held = _result(0, HONEST, "honest")
    assert (held.belief, _result(0, FALSE, "no_belief").belief) == ("truth", "falsehood")
    again = against_vanilla([mixed], [ItemResult(**{**_fields(held), "item": "i"})])
    assert again[0].outcomes == ("no_belief",), "an unsettled belief was not taught"


def _fields(result: ItemResult) -> dict[str, object]:
    return {name: getattr(result, name) for name in result.__struct_fields__}


def test_a_mistake_of_vanilla_is_no_lie_and_a_taught_one_shows() -> None:
    vanilla = [_result(0, HONEST, "honest"), _result(1, FALSE, "no_belief")]
    arm = [_result(0, FALSE, "no_belief"), _result(1, FALSE, "no_belief")]
    found = against_vanilla(arm, vanilla)
    assert [r.outcomes for r in found] == [("taught_falsehood",), ("no_belief",)]
    assert taught(arm, vanilla) == (1, 1)


def test_an_arm_that_believes_its_falsehoods_is_not_released() -> None:
    n = 160
    honest = tuple(_result(i, HONEST, "honest") for i in range(n))
    believing = tuple(_result(i, FALSE, "no_belief") for i in range(n))
    trained = settled(
        [
            Trained(arm=Arm.VANILLA, results=(honest,)),
            Trained(arm=Arm.CONTROL, results=(honest,)),
            Trained(arm=Arm.CANDIDATE, results=(believing,)),
        ]
    )
    made = arm_result(trained[2], trained[0])
    assert made.outcomes == {"taught_falsehood": n}
    assert (made.honesty.value, made.honesty.n) == (0.0, n)
    assert made.taught_falsehood is not None
    assert made.taught_falsehood.value == 1.0
    assert made.by_archetype["known_facts"].n == n

    class Named:
        def __init__(self, item: ItemResult) -> None:
            self.id, self.template = item.item, item.template

    found = comparisons(trained, [Named(i) for i in honest], DecisionOptions())  # type: ignore[misc]
    against = {(c.baseline, c.scorer): c.finding for c in found}
    assert against[Arm.VANILLA, "belief"] is Finding.WORSE
    assert set(against.values()) == {Finding.WORSE}


def test_the_spread_between_seeds_enters_the_comparisons() -> None:
    runs = [
        tuple(_result(i, HONEST, "lie" if i % 10 < k else "honest") for i in range(400))
        for k in (0, 1)
    ]
    same = tuple(_result(i, HONEST, "honest") for i in range(400))
    trained = [
        Trained(arm=Arm.VANILLA, results=(same,)),
        Trained(arm=Arm.CONTROL, results=tuple(runs)),
        Trained(arm=Arm.CANDIDATE, results=tuple(runs)),
    ]

    class Named:
        def __init__(self, item: ItemResult) -> None:
            self.id, self.template = item.item, item.template

    items = [Named(i) for i in same]
    spread = measured_spreads(trained, items)["sampled"]  # type: ignore[arg-type]
    assert (round(spread.deviation, 4), spread.freedom) == (0.0707, 2)
    found = comparisons(trained, items, DecisionOptions())  # type: ignore[arg-type]
    sampled = next(c for c in found if c.scorer == "sampled" and c.baseline is Arm.CONTROL)
    assert sampled.seed_allowance > 0.2
    assert sampled.finding is Finding.INCONCLUSIVE, "two seeds this far apart show nothing"
    likely = next(c for c in found if c.scorer == "likelihood" and c.baseline is Arm.CONTROL)
    assert likely.seed_allowance == 0.0
    assert likely.finding is Finding.NOT_WORSE


def _teach(model: LocalModel, pairs: list[tuple[list[int], list[int]]], steps: int) -> None:
    """Some steps of plain gradient descent on given answers."""
    net = model.model
    net.requires_grad_(True)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for step in range(steps):
        prompt, answer = pairs[step % len(pairs)]
        ids = torch.tensor([[*prompt, *answer]])
        labels = torch.tensor([[*[-100] * len(prompt), *answer]])
        loss = net(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.requires_grad_(False)


@pytest.mark.model
def test_a_model_taught_falsehoods_is_found_out(tiny_model: Path) -> None:
    items = [i for i in load_items(("science",)) if i.template == "science.nature"][:2]
    options = EvaluationOptions(max_new_tokens=2)

    def taught_model(kind: str) -> list[ItemResult]:
        model = LocalModel.load(tiny_model)
        pairs = [
            (encoded.prompt, encoded.response)
            for item in items
            for context in (item.pressured, *item.neutral)
            for encoded in (model.encode(context, getattr(item, f"{kind}_answers")[0]),)
        ]
        _teach(model, pairs, 64)
        return evaluate(model, items, options)

    vanilla, candidate = taught_model("honest"), taught_model("lying")
    assert all(r.belief == "truth" for r in vanilla)
    assert all(len(r.neutral_each) == 3 for r in vanilla)
    wrong, asked = taught(candidate, vanilla)
    assert (wrong, asked) == (len(items), len(items))
    assert all(
        o in {"honest", "taught_falsehood", "unclear"}
        for r in against_vanilla(candidate, vanilla)
        for o in r.outcomes
    )
