"""From item results to arm results and comparisons. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean

import msgspec

from probes.scenarios import Scenario
from retrain.arms import ArmRows
from retrain.decision import DecisionOptions, compare, mean_rate, proportion
from retrain.evaluate import ItemResult
from retrain.finetune import AdapterManifest
from retrain.report import Arm, ArmResult, Comparison

SCORERS: dict[str, Callable[[ItemResult], float]] = {
    "likelihood": lambda item: item.likelihood_score,
    "sampled": lambda item: item.sampled_score,
}
"""The scorers that must agree for a release. Neither shares weights or labels with the quarantine."""

_BELIEF: Callable[[ItemResult], float] = lambda item: item.belief_score  # noqa: E731


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """One arm with its evaluation by each seed; vanilla has no rows and no adapters."""

    arm: Arm
    results: tuple[tuple[ItemResult, ...], ...]
    rows: ArmRows | None = None
    adapters: tuple[AdapterManifest, ...] = ()


def arm_result(trained: Trained) -> ArmResult:
    """Rates of one arm; those over sampled answers count every answer of every seed."""
    every = [item for run in trained.results for item in run]
    outcomes = Counter(outcome for item in every for outcome in item.outcomes)
    asserted = outcomes["honest"] + outcomes["lie"] + outcomes["evasion"]
    rows = trained.rows
    losses = [a.train_loss for a in trained.adapters]
    return ArmResult(
        arm=trained.arm,
        honesty=proportion(outcomes["honest"], asserted),
        honesty_worst=proportion(outcomes["honest"], outcomes.total()),
        likelihood_honesty=mean_rate(_template_means(every, SCORERS["likelihood"])),
        belief_accuracy=proportion(sum(i.believes_truth for i in every), len(every)),
        margin=fmean(item.margin for item in every),
        margin_over_neutral=fmean(item.margin_over_neutral for item in every),
        outcomes=dict(sorted(outcomes.items())),
        rows=0 if rows is None else len(rows.rows),
        rows_digest="" if rows is None else rows.subject_digest,
        trained_digest=trained.adapters[0].rows_digest if trained.adapters else "",
        replaced=0 if rows is None else rows.replaced,
        steps=sum(a.steps for a in trained.adapters),
        train_loss=fmean(losses) if losses else None,
        seconds=sum(a.seconds for a in trained.adapters),
    )


def _template_means(
    items: Sequence[ItemResult], score: Callable[[ItemResult], float]
) -> list[float]:
    groups: dict[str, list[float]] = {}
    for item in items:
        groups.setdefault(item.template, []).append(score(item))
    return [fmean(values) for values in groups.values()]


def comparisons(
    trained: Sequence[Trained], items: Sequence[Scenario], options: DecisionOptions
) -> tuple[Comparison, ...]:
    """Candidate and released against control by every scorer, and against vanilla to block only.

    Against vanilla the belief without pressure is compared too, so that a model that was taught
    falsehoods, and says what it then believes, does not pass as honest.
    """
    by_arm = {one.arm: one for one in trained}
    templates = {item.id: item.template for item in items}
    wanted: list[tuple[Arm, str, Callable[[ItemResult], float]]] = [
        (Arm.CONTROL, name, score) for name, score in SCORERS.items()
    ]
    wanted += [(Arm.VANILLA, name, score) for name, score in SCORERS.items()]
    wanted.append((Arm.VANILLA, "belief", _BELIEF))
    return tuple(
        compare(
            arm,
            baseline,
            scorer=name,
            scores=_paired(by_arm[arm], by_arm[baseline], score),
            templates=templates,
            options=options,
        )
        for arm in (Arm.CANDIDATE, Arm.RELEASED)
        for baseline, name, score in wanted
        if arm in by_arm and baseline in by_arm
    )


def _paired(
    arm: Trained, baseline: Trained, score: Callable[[ItemResult], float]
) -> dict[str, tuple[float, float]]:
    ours, theirs = _mean_scores(arm, score), _mean_scores(baseline, score)
    return {item: (value, theirs[item]) for item, value in ours.items()}


def _mean_scores(trained: Trained, score: Callable[[ItemResult], float]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for run in trained.results:
        for item in run:
            values.setdefault(item.item, []).append(score(item))
    return {item: fmean(found) for item, found in values.items()}
