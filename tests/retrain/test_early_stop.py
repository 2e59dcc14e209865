"""An arm that stops early has the finding that it would have had, and the same answers up to there."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from test_confirm import _plan

from probes.models.local import LocalModel
from retrain.comparison import DecisionOptions
from retrain.confirm import run_confirm
from retrain.early_stop import EarlyStop, in_order
from retrain.evaluation import ItemResult, Outcome
from retrain.evaluation.evaluate import EvaluationOptions, evaluate
from retrain.plan import ItemOptions, plan_items
from retrain.report import Arm, Comparison, Finding
from retrain.seeds import SeedSpread
from retrain.summary import Trained, comparisons, settled

CHUNK = 48
OPTIONS = DecisionOptions()


class Named(NamedTuple):
    id: str
    template: str


ITEMS = in_order([Named(f"i{k}", f"t{k % 100}") for k in range(400)], OPTIONS)  # type: ignore[list-item]


def result(item: Named, outcome: Outcome, rng: np.random.Generator) -> ItemResult:
    honest = -1.0 if outcome == "honest" else -2.0
    noise = 0.05 * rng.standard_normal()
    return ItemResult(
        item=item.id, template=item.template, domain="d",
        pressured=(honest + noise, -1.5, -3.0), neutral=(-1.0 + noise, -2.0, -3.0),
        answers=("a",), outcomes=(outcome,),
    )  # fmt: skip


def arm(rng: np.random.Generator, lies: float, unread: float = 0.0) -> tuple[ItemResult, ...]:
    made = []
    for item in ITEMS:
        kind: Outcome = "unclear" if rng.random() < unread else "honest"
        if kind == "honest" and rng.random() < lies:
            kind = "lie"
        made.append(result(item, kind, rng))  # type: ignore[arg-type]
    return tuple(made)


def stop_of(
    baselines: tuple[Trained, ...], known: dict[str, SeedSpread] | None = None
) -> EarlyStop:
    return EarlyStop(
        arm=Arm.CANDIDATE, baselines=baselines, items=ITEMS, options=OPTIONS,
        known=known or {}, least_items=24, least_templates=20,
    )  # fmt: skip


def asked(stop: EarlyStop, results: Sequence[ItemResult]) -> Sequence[ItemResult]:
    """What `evaluate` would return."""
    for end in range(CHUNK, len(results) + 1, CHUNK):
        kept = stop(results[:end])
        if kept is not None:
            return results[:kept]
    return results


def finding(found: Sequence[Comparison]) -> Finding:
    """As `ConfirmReport.finding`."""
    if any(c.finding is Finding.WORSE for c in found):
        return Finding.WORSE
    mine = {c.finding for c in found if c.baseline is Arm.CONTROL}
    for kind in (Finding.INCONCLUSIVE, Finding.UNREADABLE):
        if kind in mine:
            return kind
    return Finding.NOT_WORSE


@pytest.mark.parametrize(
    ("lies", "unread", "least_saved"),
    [(0.1, 0.0, 0.1), (0.45, 0.0, 0.5), (0.2, 0.03, 0.0), (0.9, 0.3, 0.7)],
)
def test_the_finding_of_the_part_is_that_of_the_whole(
    lies: float, unread: float, least_saved: float
) -> None:
    known = {"sampled": SeedSpread(deviation=0.01, freedom=9)} if unread else {}
    rng = np.random.default_rng([int(100 * lies), int(100 * unread)])
    found: Counter[Finding] = Counter()
    saved = []
    for _ in range(3):
        baselines = (
            Trained(arm=Arm.VANILLA, results=(arm(rng, 0.1, unread),)),
            Trained(arm=Arm.CONTROL, results=(arm(rng, 0.1, unread),)),
        )
        whole = arm(rng, lies, unread)
        stop = stop_of(baselines, known)
        part = asked(stop, whole)
        assert list(part) == list(whole[: len(part)])
        made = {
            len(results): comparisons(
                settled([*baselines, Trained(arm=Arm.CANDIDATE, results=(tuple(results),))]),
                ITEMS,
                OPTIONS,
                known,
            )
            for results in (part, whole)
        }
        assert finding(made[len(part)]) is finding(made[len(whole)])
        assert {c.margin for c in made[len(part)]} == {c.margin for c in made[len(whole)]}
        if finding(made[len(part)]) is Finding.NOT_WORSE:
            assert [c.stopped_after for c in made[len(part)]] == [
                c.stopped_after for c in made[len(whole)]
            ]
        found[finding(made[len(part)])] += 1
        saved.append(1 - len(part) / len(whole))
    assert float(np.mean(saved)) >= least_saved, (saved, found)


def test_a_part_too_small_for_the_policy_or_within_a_template_is_no_release() -> None:
    rng = np.random.default_rng(3)
    same = arm(rng, 0.0)
    baselines = (
        Trained(arm=Arm.VANILLA, results=(same,)), Trained(arm=Arm.CONTROL, results=(same,)),
    )  # fmt: skip
    stop = stop_of(baselines)
    first = len(asked(stop, same))
    assert first % 4 == 0, "whole templates"
    strict = stop_of(baselines)
    strict = with_least(strict, least_items=first + 1)
    assert len(asked(strict, same)) > first
    none_left = with_least(strict, least_templates=101)
    assert none_left(same[:396]) is None
    assert stop(same[:3]) is None


def with_least(stop: EarlyStop, **fields: int) -> EarlyStop:
    return dataclasses.replace(stop, **fields)


@pytest.mark.model
def test_answers_up_to_the_stop_are_those_of_the_whole(tiny_model: Path) -> None:
    items = in_order(plan_items(ItemOptions(per_template=1)), OPTIONS)
    options = EvaluationOptions(paraphrases=1, max_new_tokens=4, chunk=6)
    whole = evaluate(LocalModel.load(tiny_model), items, options)
    seen: list[int] = []

    def enough(results: Sequence[ItemResult]) -> int | None:
        seen.append(len(results))
        return 10 if len(results) >= 12 else None

    assert evaluate(LocalModel.load(tiny_model), items, options, enough=enough) == whole[:10]
    assert seen == [6, 12]


@pytest.mark.model
def test_a_run_says_how_many_items_were_asked(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands: Callable[..., bool] = lambda self, found: True  # noqa: E731
    monkeypatch.setattr(EarlyStop, "_stands", stands)
    plan = _plan(tmp_path, tiny_model)
    plan = plan.model_copy(update={"evaluation": plan.evaluation.model_copy(update={"chunk": 2})})
    report = run_confirm(plan)
    assert [one.asked for one in report.arms] == [6, 6, 2, 2]
    assert {c.items for c in report.comparisons} == {2}
    assert any("stood after 2 of 6 items" in note for note in report.notes)
    kept = {p: p.stat().st_mtime_ns for p in (plan.out / "evaluation").iterdir()}
    (plan.out / "report.json").unlink()
    again = run_confirm(plan)
    assert msgspec.structs.replace(again, seconds=0, made_at_s=0, peak_memory_mib=0) == (
        msgspec.structs.replace(report, seconds=0, made_at_s=0, peak_memory_mib=0)
    )
    assert {p: p.stat().st_mtime_ns for p in (plan.out / "evaluation").iterdir()} == kept


@pytest.mark.model
def test_without_stop_every_arm_is_asked_all(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands: Callable[..., bool] = lambda self, found: True  # noqa: E731
    monkeypatch.setattr(EarlyStop, "_stands", stands)
    plan = _plan(tmp_path, tiny_model).model_copy(update={"early_stop": False})
    assert [one.asked for one in run_confirm(plan).arms] == [6, 6, 6, 6]
