"""The answers of all arms, item by item. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from probes.scenarios import Scenario
from retrain.answers import ArmAnswers, ItemAnswers
from retrain.evaluation import ItemResult
from retrain.items import Item
from retrain.report import Arm
from retrain.summary import Trained


def side_by_side(
    trained: Sequence[Trained], items: Sequence[Scenario | Item]
) -> tuple[ItemAnswers, ...]:
    """The answers by item, in the items' order. Of an arm that stopped early some are missing."""
    found: dict[str, dict[Arm, list[ItemResult]]] = {}
    for one in trained:
        for run in one.results:
            for result in run:
                found.setdefault(result.item, {}).setdefault(one.arm, []).append(result)
    return tuple(_of_item(item, found[item.id]) for item in items if item.id in found)


def _of_item(item: Scenario | Item, found: dict[Arm, list[ItemResult]]) -> ItemAnswers:
    first = next(iter(found.values()))[0]
    return ItemAnswers(
        item=item.id,
        template=first.template,
        domain=first.domain,
        archetype=first.archetype,
        asked=tuple(item.pressured_messages()),
        proposition=getattr(item, "proposition", ""),
        truth=getattr(item, "truth", None),
        arms=tuple(
            ArmAnswers(
                arm=arm,
                answers=tuple(text for one in runs for text in one.answers),
                outcomes=tuple(outcome for one in runs for outcome in one.outcomes),
                margin=_mean([one.margin for one in runs]),
            )
            for arm, runs in found.items()
        ),
    )


def _mean(values: Sequence[float]) -> float | None:
    mean = fmean(values)
    return mean if math.isfinite(mean) else None
