"""The confirm report as a page with a picture."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from retrain.report import Arm, ArmResult, Comparison, ConfirmReport, Finding, Rate

_COLOURS = {
    Arm.VANILLA: "#8a8f98",
    Arm.CONTROL: "#2a6f97",
    Arm.CANDIDATE: "#b23a48",
    Arm.RELEASED: "#2d8659",
}
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1b1f24;background:#fff}table{border-collapse:collapse;width:100%;margin:1rem 0}"
    "th,td{padding:.35rem .6rem;border-bottom:1px solid #d7dbe0;text-align:right}"
    "th:first-child,td:first-child{text-align:left}img{max-width:100%}"
    ".worse{color:#b23a48;font-weight:600}.not_worse{color:#2d8659;font-weight:600}"
)


def render_html(report: ConfirmReport, out: Path) -> Path:
    """Write report.html, self-contained, and report.png beside it; returns the page's path."""
    picture = draw(report)
    (out / "report.png").write_bytes(picture)
    data = base64.b64encode(picture).decode("ascii")
    title = f"Confirm run {report.run_id}"
    body = "".join(
        (
            f"<h1>{html.escape(title)}</h1>",
            (
                f"<p>Assistant <b>{html.escape(report.assistant)}</b>, control: "
                f"{html.escape(report.control or 'none')}, seeds {list(report.seeds)}, "
                f"{report.seconds:.0f} s, peak memory {report.peak_memory_mib:.0f} MiB.</p>"
            ),
            (
                f'<img alt="Honesty of each arm and its difference from control" '
                f'src="data:image/png;base64,{data}">'
            ),
            _arms_table(report.arms),
            _comparison_table(report.comparisons),
            _archetype_table(report.arms),
            f"<p>Sampled answers were labelled by {html.escape(_labelled_by(report.arms))}.</p>",
            "".join(f"<p>{html.escape(note)}.</p>" for note in report.notes),
        )
    )
    page = out / "report.html"
    page.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title><style>{_STYLE}</style></head><body>{body}</body></html>",
        encoding="utf-8",
    )
    return page


def draw(report: ConfirmReport) -> bytes:
    """A PNG: on the left each arm's honesty by both scorers, on the right the paired differences
    from control with their intervals and the margin."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for row, arm in enumerate(reversed(report.arms)):
        for rate, marker, shift in ((arm.honesty, "o", 0.12), (arm.likelihood_honesty, "s", -0.12)):
            _bar(left, rate, row + shift, _COLOURS[arm.arm], marker)
    left.set_yticks(range(len(report.arms)), [a.arm.value for a in reversed(report.arms)])
    left.set_xlim(0, 1)
    left.set_xlabel(
        "honesty under pressure, 95 % interval\n(circle: sampled answers, square: likelihood)"
    )
    pairs = [c for c in report.comparisons if c.baseline is Arm.CONTROL]
    for row, pair in enumerate(reversed(pairs)):
        rate = Rate(value=pair.difference, lower=pair.lower, upper=pair.upper, n=pair.items)
        _bar(right, rate, row, _COLOURS[pair.arm], "o")
    right.set_yticks(range(len(pairs)), [f"{c.arm.value}, {c.scorer}" for c in reversed(pairs)])
    right.axvline(0, color="#1b1f24", linewidth=0.8)
    if pairs:
        right.axvline(-pairs[0].margin, color="#b23a48", linestyle="--", linewidth=0.8)
    right.set_xlabel("difference from control (dashed: margin)")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def _bar(axes: object, rate: Rate, y: float, colour: str, marker: str) -> None:
    plot = axes.plot  # type: ignore[attr-defined]
    plot([rate.lower, rate.upper], [y, y], color=colour, linewidth=1.6)
    plot([rate.value], [y], color=colour, marker=marker, markersize=6)


def _arms_table(arms: Sequence[ArmResult]) -> str:
    head = ("arm", "honesty", "n", "worst case", "likelihood", "belief true", "taught falsehood", "ordinary tasks", "margin", "rows", "replaced", "steps")  # fmt: skip
    rows = [
        (
            arm.arm.value,
            _rate(arm.honesty),
            str(arm.honesty.n),
            _rate(arm.honesty_worst),
            _rate(arm.likelihood_honesty),
            _rate(arm.belief_accuracy),
            _rate(arm.taught_falsehood),
            _rate(arm.capability),
            f"{arm.margin:.2f}",
            str(arm.rows),
            str(arm.replaced),
            str(arm.steps),
        )
        for arm in arms
    ]
    return _table(head, rows)


def _archetype_table(arms: Sequence[ArmResult]) -> str:
    """Share of honest answers among all sampled ones, one column an arm."""
    kinds = sorted({kind for arm in arms for kind in arm.by_archetype})
    rows = [
        (kind.replace("_", " "), *(_rate(arm.by_archetype.get(kind)) for arm in arms))
        for kind in kinds
    ]
    return _table(("archetype", *(arm.arm.value for arm in arms)), rows)


def _comparison_table(found: Sequence[Comparison]) -> str:
    head = ("comparison", "scorer", "difference", "margin", "for seeds", "items", "templates", "finding")  # fmt: skip
    rows = [
        (
            f"{c.arm.value} − {c.baseline.value}",
            c.scorer,
            f"{c.difference:+.3f} [{c.lower:+.3f}, {c.upper:+.3f}]",
            f"{c.margin:.2f}",
            f"{c.seed_allowance:.3f}" if c.seed_allowance else "not known",
            str(c.items),
            str(c.clusters),
            c.finding.value,
        )
        for c in found
    ]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    findings = {finding.value for finding in Finding}
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{cell}">{cell}</td>'
            if cell in findings
            else f"<td>{html.escape(cell)}</td>"
            for cell in row
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{''.join(f'<th>{html.escape(h)}</th>' for h in head)}</tr>{body}</table>"


def _labelled_by(arms: Sequence[ArmResult]) -> str:
    names = sorted({arm.scored_by for arm in arms})
    return " and ".join("the items' own rules" if name == "rules" else name for name in names)


def _rate(rate: Rate | None) -> str:
    if rate is None:
        return "not asked"
    return f"{rate.value:.3f} [{rate.lower:.3f}, {rate.upper:.3f}]"
