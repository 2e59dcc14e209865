"""The story in one picture: honesty over time, the raters, the arms, the gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from evidence import VerdictKind
from evidence.confidence import wilson
from monitor.demo.figures import Figures
from monitor.demo.screen import arms, spread
from monitor.demo.watch import Measured, RaterUps

_WINDOW = 40
_INK, _GOOD, _BAD, _SOFT = "#22313f", "#2a7f62", "#c0392b", "#b8c4cc"
_ANSWERS = {"allow": _GOOD, "quarantine": "#b7791f", "hold": "#5d6d7e", "block": _BAD}


class Material(msgspec.Struct, frozen=True):
    """What the picture shows beyond the figures.

    `places` are the measured responses' places in the traffic, in order, with their verdicts.
    """

    places: tuple[int, ...]
    measured: tuple[Measured, ...]
    raters: tuple[RaterUps, ...]


def draw(path: Path, figures: Figures, material: Material) -> None:
    """Write the picture; the suffix says the format (`.svg`, `.png`)."""
    import matplotlib as mpl  # noqa: PLC0415 -- half a second, only where a picture is wanted

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    style: Any = {
        "font.size": 9,
        "svg.hashsalt": "candor",
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(style):
        page, axes = plt.subplots(2, 2, figsize=(10, 6.4), constrained_layout=True)
        _over_time(axes[0, 0], figures, material)
        _raters(axes[0, 1], figures, material.raters)
        _arms(axes[1, 0], figures)
        _gate(axes[1, 1], figures)
        page.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)
        plt.close(page)


def _over_time(axis: Any, figures: Figures, material: Material) -> None:
    """Share of honest verdicts in a sliding window, with Wilson's band."""
    decided = [
        (place, m.kind is VerdictKind.HONEST)
        for place, m in zip(material.places, material.measured, strict=True)
        if m.kind in {VerdictKind.HONEST, VerdictKind.LIE, VerdictKind.EVASION}
    ]
    ends = range(min(_WINDOW, len(decided)), len(decided) + 1)
    bands = [
        wilson(sum(h for _, h in decided[max(0, e - _WINDOW) : e]), min(e, _WINDOW)) for e in ends
    ]
    shares = [float(np.mean([h for _, h in decided[max(0, e - _WINDOW) : e]])) for e in ends]
    x = [decided[e - 1][0] + 1 for e in ends]
    axis.fill_between(x, [b.lower for b in bands], [b.upper for b in bands], color=_SOFT, alpha=0.6)
    axis.plot(x, shares, color=_INK, lw=1.6)
    axis.axvline(figures.drift_at, color=_INK, ls=":", lw=1.2)
    axis.text(figures.drift_at, 1.02, "new version ", ha="right", va="bottom", color=_INK)
    if figures.alarm is not None:
        axis.axvline(figures.alarm.at, color=_BAD, lw=1.4)
        late = f" alarm, {figures.alarm.delay} samples later"
        axis.text(figures.alarm.at, 1.02, late, ha="left", va="bottom", color=_BAD)
    axis.set(xlabel="response", ylabel=f"score rate, last {_WINDOW} verdicts", ylim=(0, 1.1))


def _raters(axis: Any, figures: Figures, raters: Sequence[RaterUps]) -> None:
    """Each rater by the share of likes on what was judged honest and on what was judged a lie."""
    shown = [r for r in raters if r.honest and r.lies]
    dots = axis.scatter(
        [r.honest_liked / r.honest for r in shown],
        [r.lies_liked / r.lies for r in shown],
        c=[r.p_biased if r.p_biased is not None else 0.0 for r in shown],
        s=[8 + 3 * (r.honest + r.lies) for r in shown],
        cmap="RdYlBu_r", vmin=0, vmax=1, alpha=0.8, linewidths=0.4, edgecolors=_INK,
    )  # fmt: skip
    axis.figure.colorbar(dots, ax=axis, label="probability of bias")
    axis.set(xlabel="likes on answers judged honest", ylabel="likes on answers judged lies")
    found = figures.cohort
    if found is not None:
        inferred = spread(found.estimate, found.lower, found.upper)
        axis.set_title(f"biased raters {inferred}, true {found.true:.3f}", fontsize=9)


def _arms(axis: Any, figures: Figures) -> None:
    """Honesty of each arm with its interval."""
    ran = arms(figures)
    colours = {"candidate": _BAD, "released": _GOOD}
    for place, (name, arm) in enumerate(ran):
        axis.plot([place, place], [arm.lower, arm.upper], color=_INK, lw=1.5)
        if arm.honesty is None:
            continue
        axis.bar(place, arm.honesty, color=colours.get(name, _SOFT), width=0.6)
        axis.text(place + 0.06, arm.honesty, f"{arm.honesty:.2f}", va="bottom")
    axis.set_xticks(range(len(ran)), [name for name, _ in ran])
    axis.set(ylabel="honesty under pressure", ylim=(0, 1.1), title=None)


def _gate(axis: Any, figures: Figures) -> None:
    """The two answers."""
    axis.axis("off")
    if figures.gate is None or figures.confirm is None:
        axis.text(0.5, 0.5, "no confirm run", ha="center")
        return
    gate, run = figures.gate, figures.confirm
    lies = "" if run.released_lies is None else f", {run.released_lies:.0%} lies"
    boxes = (
        (0.72, "all rows", gate.all_rows, f"{run.rows} rows, {run.rows_lies:.0%} lies"),
        (0.24, "released rows", gate.released or "none", f"{gate.released_rows} rows{lies}"),
    )
    for y, name, answer, detail in boxes:
        axis.text(0.02, y, f"gate on {name}", va="center", weight="bold", color=_INK)
        axis.text(0.02, y - 0.12, detail, va="center", color=_INK)
        axis.text(
            0.75, y - 0.05, answer.upper(), va="center", ha="center", color="white", weight="bold",
            bbox={"boxstyle": "round,pad=0.6", "fc": _ANSWERS.get(answer, _INK), "ec": "none"},
        )  # fmt: skip
