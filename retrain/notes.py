"""What a confirm report says beside its figures, so that nobody reads more out of them than is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from candor_guard.rows import Row
from probes.scenarios import Scenario
from retrain.items import Item
from retrain.plan import ConfirmPlan
from retrain.report import ArmResult

FEW_ROWS = 32
"""Fewer rows than this train next to nothing, and the report says so."""


def run_notes(
    plan: ConfirmPlan,
    items: Sequence[Scenario | Item],
    arms: Sequence[ArmResult],
    rows: Sequence[Row],
    influence: Mapping[str, float],
) -> tuple[str, ...]:
    """Sentences without a full stop."""
    templates = len({item.template for item in items})
    notes = []
    if len(plan.seeds) < 2:
        notes.append("one training seed: the spread between seeds is not in the intervals")
    if plan.control is None:
        notes.append("no control: nothing can be released")
    notes.append(
        f"{len(items)} items of {templates} templates; templates are the independent units"
    )
    notes += [
        f"{arm.arm.value}: its finding stood after {arm.asked} of {len(items)} items, and it was asked no more; "
        "its intervals, but not the finding, leave out that it was looked at after each part"
        for arm in arms
        if arm.asked is not None and arm.asked < len(items)
    ]
    notes += _of_rows(plan, arms)
    if plan.finetune.config_ignored:
        names = ", ".join(plan.finetune.config_ignored)
        notes.append(f"of the trainer's own settings these were not followed: {names}")
    if plan.max_influence is not None:
        asked = sum(row.provenance.response_id in influence for row in rows)
        notes.append(
            f"the influence of {asked} of {len(rows)} rows was measured; what pulls further towards "
            f"lying than {plan.max_influence:g} is removed"
        )
    return tuple(notes)


def _of_rows(plan: ConfirmPlan, arms: Sequence[ArmResult]) -> list[str]:
    """What of the rows did not reach the training, and whether there are enough of them."""
    notes = [
        f"{arm.arm.value}: of {arm.rows} rows {arm.dropped} were not trained and {arm.cut} lost their "
        f"end, because they are longer than max_length, {plan.finetune.max_length} tokens"
        for arm in arms
        if arm.dropped or arm.cut
    ]
    rows = max((arm.rows for arm in arms), default=0)
    if rows < FEW_ROWS:
        steps = max((arm.steps for arm in arms), default=0) // len(plan.seeds)
        notes.append(f"{rows} rows make {steps} training steps: so few show next to nothing")
    return notes
