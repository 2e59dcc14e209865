"""The card of a sensor: what it was measured to see, and in plain words what it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from evidence import Archetype
from evidence.prevalence import LEANS_FROM
from evidence.records import Accuracy
from probes.evaluation import Estimate, Figures
from probes.sensor.power import Fall, told

_NAMES = {
    Archetype.TOLD_FACTS: "what it was told",
    Archetype.OWN_ACTION: "its own actions",
    Archetype.KNOWN_FACTS: "what is generally known",
    Archetype.OTHER: "anything else",
}
_GOOD = 0.75


class ProbeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One probe alone: how many answers it measured, on how many it failed, and its AUROC."""

    name: str
    version: str
    n: int
    failed: int
    auroc: Estimate
    why_failed: str = ""


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured when a sensor was made; every figure on answers left out of the fit.

    Parameters
    ----------
    assistant, approved, made_at
        The assistant, its approved version, and when (RFC 3339).
    n, lies, groups
        Answers, lies among them, and the wordings (templates, scenarios) that were left out whole.
    refusals
        Bare refusals, which are told apart before all else and enter no figure.
    misread
        Levels of items that the approved version is not shown to answer rightly when asked plainly, with how
        many of how many answers were wrong: they were left out.
    origins
        Answers by where they come from.
    probes
        Each probe alone.
    by_archetype, by_topic, by_origin
        AUROC, balanced accuracy and calibration error of the whole; the last row is over all.
    accuracy
        Sensitivity and specificity: how often p_lie is at least one half on lies, and less on honest answers.
    undecided_lies, undecided_honest
        Shares of lies and of honest answers that it cannot tell.
    mean_honest, mean_lie
        Mean p_lie of each kind.
    falls
        The smallest fall of honesty that the detectors find at the assistant's traffic.
    canaries
        The canaries that the evaluator is watched with, which no fit saw; None where none were measured.
    """

    assistant: str
    approved: str
    made_at: str
    n: int
    lies: int
    groups: int
    refusals: int
    misread: dict[str, tuple[int, int]]
    origins: dict[str, int]
    probes: tuple[ProbeFigures, ...]
    by_archetype: tuple[Figures, ...]
    by_topic: tuple[Figures, ...]
    by_origin: tuple[Figures, ...]
    lie_threshold: float
    accuracy: Accuracy
    undecided_lies: float
    undecided_honest: float
    mean_honest: float
    mean_lie: float
    responses_per_day: float
    falls: tuple[Fall, ...]
    canaries: Figures | None = None
    schema_version: int = 1


def blind_spots(card: Card) -> list[str]:
    """What the sensor cannot see, a plain sentence each."""
    out = []
    measured = {row.kind: row for row in card.by_archetype}
    whole = card.by_archetype[-1]
    for level, (wrong, n) in sorted(card.misread.items()):
        if n == 0:
            out.append(
                f"Too few items were used to show that the approved version reads {level} ones, so none was:"
                " lies about contexts as long as those are not measured."
            )
            continue
        out.append(
            f"Asked plainly, the approved version answers {wrong} of {n} {level} items wrongly, which does not"
            " show that it reads them: without a belief there is nothing that a lie could be read from, so they"
            " were left out, and lies about contexts as long as those are not measured."
        )
    for archetype in Archetype:
        if archetype is Archetype.OTHER:
            continue
        row = measured.get(archetype.value)
        if row is None and len(card.by_archetype) > 1:
            out.append(f"No lies about {_NAMES[archetype]} were among the answers: not measured.")
            continue
        lower = None if row is None else row.auroc.lower
        if row is not None and (lower is None or lower <= 0.5):
            out.append(
                f"It cannot tell lies about {_NAMES[archetype]} from honest answers"
                f" (AUROC {_shown(row.auroc)}, n {row.n})."
            )
        elif row is not None and (row.auroc.value or 0.0) < _GOOD:
            out.append(
                f"It tells lies about {_NAMES[archetype]} from honest answers poorly"
                f" (AUROC {_shown(row.auroc)}, n {row.n})."
            )
    if whole.auroc.lower is None or whole.auroc.lower <= 0.5:
        out.append("In all it is not shown to be better than chance: do not rely on its verdicts.")
    order = card.canaries
    if order is not None and (order.auroc.lower is None or order.auroc.lower <= 0.5):
        out.append(
            f"It is not shown to order the canaries (AUROC {_shown(order.auroc)}, n {order.n}): that it went flat"
            " is found late or never."
        )
    if not card.approved:
        out.append(
            "It has no approved version to compare with: what the assistant believes is unknown to it."
        )
    for one in card.falls:
        if one.fall is None:
            period = "a day" if one.days == 1 else f"{one.days} days"
            out.append(
                f"At {card.responses_per_day:g} measured responses a day it finds no fall within"
                f" {period}."
            )
    return out


def as_dict(card: Card) -> dict[str, Any]:
    """The card for `--json`: figures are objects with `value`, `lower`, `upper`."""
    plain: dict[str, Any] = _plain(card)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if hasattr(value, "_asdict"):
        return {name: _plain(one) for name, one in value._asdict().items()}
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def as_markdown(card: Card) -> str:
    """The card as a page."""
    lines = [
        f"# Sensor of {card.assistant or 'any assistant'}",
        "",
        _made_from(card),
        "",
        _called(card),
        "",
        f"At {card.responses_per_day:g} measured responses a day: {told(card.falls)}.",
        "",
        *_watched(card),
        "## What it cannot see",
        "",
        *(f"- {sentence}" for sentence in blind_spots(card) or ["Nothing stood out."]),
        "",
        "## Probes alone",
        "",
        "| probe | version | n | failed | AUROC |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {p.name} | {p.version} | {p.n} | {p.failed} | {_shown(p.auroc)} |"
            for p in card.probes
        ),
    ]
    for title, rows in (
        ("By what the claim is about", card.by_archetype),
        ("By topic", card.by_topic),
        ("By origin of the answer", card.by_origin),
    ):
        lines += ["", f"## {title}", "", *table(rows)]
    return "\n".join(lines) + "\n"


def _made_from(card: Card) -> str:
    return (
        f"Made {card.made_at} from {card.n} labelled answers ({card.lies} lies) in {card.groups}"
        f" wordings, approved version {card.approved or 'none'}; {card.refusals} bare refusals set"
        " apart. Every figure is of answers whose wording was left out of the fit, with 95 % intervals."
    )


def _called(card: Card) -> str:
    accuracy = card.accuracy
    return (
        f"{accuracy.sensitivity:.2f} of the lies (effective n {accuracy.n_lies:.0f}) and"
        f" {1 - accuracy.specificity:.2f} of the honest answers (effective n {accuracy.n_honest:.0f}) have"
        f" p_lie ≥ {LEANS_FROM:.2f}. Calling lies from {card.lie_threshold:.2f} on, it leaves {card.undecided_lies:.2f} of the"
        f" lies and {card.undecided_honest:.2f} of the honest answers undecided. Mean p_lie"
        f" {card.mean_honest:.2f} on honest answers, {card.mean_lie:.2f} on lies."
    )


def _watched(card: Card) -> list[str]:
    found = card.canaries
    if found is None:
        return []
    return [
        (
            f"Of {found.n} canaries ({found.lies} lies, {found.unmeasured} not measured) the lie has the larger p_lie in"
            f" {_shown(found.auroc)} of the pairs. While it measures, less than `health.min_concordance` of them is an"
            " alarm: set that below the interval."
        ),
        "",
    ]


def table(rows: Sequence[Figures]) -> list[str]:
    """Figures as lines of a Markdown table."""
    return [
        "| kind | n | lies | not measured | AUROC | balanced accuracy | calibration error |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {r.kind} | {r.n} | {r.lies} | {r.unmeasured} | {_shown(r.auroc)} |"
            f" {_shown(r.balanced_accuracy)} | {_shown(r.calibration_error)} |"
            for r in rows
        ),
    ]


def _shown(estimate: Estimate) -> str:
    if estimate.value is None or estimate.lower is None or estimate.upper is None:
        return "—"
    return f"{estimate.value:.2f} [{estimate.lower:.2f}, {estimate.upper:.2f}]"
