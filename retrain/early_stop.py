"""Asking an arm no further once its finding stands, whatever the other items would say."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import msgspec

from evidence import digest
from probes.scenarios import Scenario
from retrain.comparison import DecisionOptions, template_order
from retrain.evaluation import ItemResult
from retrain.items import Item
from retrain.report import Arm, Comparison, Finding
from retrain.seeds import SeedSpread
from retrain.summary import Trained, comparisons, settled


def in_order(
    items: Sequence[Scenario | Item], options: DecisionOptions
) -> tuple[Scenario | Item, ...]:
    """The items, whole templates one after another as the comparison looks at them."""
    place = {name: k for k, name in enumerate(template_order((i.template for i in items), options))}
    return tuple(sorted(items, key=lambda item: place[item.template]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EarlyStop:
    """Whether one arm with one seed may stop, having been asked a part of the items.

    Each comparison bets on templates in an order that does not depend on the answers, and the first side to cross
    decides (`retrain.comparison.compare`): what crossed in a part stands in the whole. An arm may stop once any comparison
    found it worse, which blocks whatever else is found, or once all of them, those with vanilla too, found it not worse.
    So what the gate makes of the findings is what it would make of all items. The margin is that of the whole design. Answers that could not be read count in the part as in the whole:
    against the arm for a release, for it for a block.

    A spread between seeds that is measured in the run is known only at its end, so a run of several seeds never stops.

    Parameters
    ----------
    baselines
        Vanilla and control, asked all items.
    items
        All items, `in_order`.
    known
        Seed spreads of earlier runs, by scorer.
    least_items, least_templates
        Fewer are never enough for a release (the policy's `min_items` and `min_templates`).
    """

    arm: Arm
    baselines: tuple[Trained, ...]
    items: tuple[Scenario | Item, ...]
    options: DecisionOptions
    known: Mapping[str, SeedSpread]
    least_items: int
    least_templates: int

    @property
    def key(self) -> str:
        """Digest of all that the stop rests on besides the arm's own answers."""
        said = [[run.answers, run.pressured, run.neutral] for one in self.baselines for run in one.results[0]]  # fmt: skip
        known = {name: (s.deviation, s.freedom) for name, s in self.known.items()}
        told = [said, known, self.options.model_dump(), self.least_items, self.least_templates]
        return digest(msgspec.json.encode(told, order="sorted"), self.arm.value)

    def __call__(self, results: Sequence[ItemResult]) -> int | None:
        """How many of the results to keep, whole templates, if the arm may stop after them."""
        count = len(results)
        if count >= len(self.items):
            return None
        while count and self.items[count].template == self.items[count - 1].template:
            count -= 1
        if not count:
            return None
        part = Trained(arm=self.arm, results=(tuple(results[:count]),))
        found = comparisons(settled([*self.baselines, part]), self.items, self.options, self.known)
        return count if self._stands(found) else None

    def _stands(self, found: Sequence[Comparison]) -> bool:
        if any(one.finding is Finding.WORSE for one in found):
            return True
        enough = all(
            one.items >= self.least_items and one.clusters >= self.least_templates for one in found
        )
        return enough and all(one.finding is Finding.NOT_WORSE for one in found)
