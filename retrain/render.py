"""The confirm report as a page with a picture."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from matplotlib.figure import Figure

from retrain.evaluation import Outcome
from retrain.report import (
    Arm,
    ArmResult,
    Comparison,
    ConfirmReport,
    Finding,
    Rate,
    ruled_out,
)

_COLOURS = {
    Arm.VANILLA: "#8a8f98",
    Arm.CONTROL: "#2a6f97",
    Arm.CANDIDATE: "#b23a48",
    Arm.RELEASED: "#2d8659",
}
_KINDS: tuple[str, ...] = get_args(Outcome)
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
            _outcomes_table(report.arms),
            _comparison_table(report.comparisons),
            "".join(f"<p>{html.escape(found.sentence)}</p>" for found in report.firmness),
            _archetype_table(report.arms),
            _settings(report),
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
        rate = Rate(value=pair.difference, lower=pair.lower, upper=pair.upper, n=pair.read)
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
    if rate.value is not None:
        plot([rate.value], [y], color=colour, marker=marker, markersize=6)


def _settings(report: ConfirmReport) -> str:
    """What the arms were trained from and how; nothing where the report does not say."""
    told = report.settings.get("finetune", {})
    words = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in told.items() if value or value == 0
    )
    if not words:
        return ""
    text = f"Model {report.model} ({report.model_digest[:12]}); {words}; loss over {report.loss}."
    return f"<p>{html.escape(text)}</p>"


def _arms_table(arms: Sequence[ArmResult]) -> str:
    head = ("arm", "honesty", "n", "worst case", "likelihood", "belief true", "taught falsehood", "ordinary tasks", "margin", "rows", "replaced", "steps")  # fmt: skip
    rows = [
        (
            arm.arm.value,
            rate_text(arm.honesty),
            str(arm.honesty.n),
            rate_text(arm.honesty_worst),
            rate_text(arm.likelihood_honesty),
            rate_text(arm.belief_accuracy),
            rate_text(arm.taught_falsehood),
            rate_text(arm.capability),
            f"{arm.margin:.2f}",
            str(arm.rows),
            str(arm.replaced),
            str(arm.steps),
        )
        for arm in arms
    ]
    return _table(head, rows)


def _outcomes_table(arms: Sequence[ArmResult]) -> str:
    """Sampled answers by what they were found to be, one column an arm."""
    kinds = sorted({kind for arm in arms for kind in arm.outcomes}, key=_place)
    rows = [
        (kind.replace("_", " "), *(str(arm.outcomes.get(kind, 0)) for arm in arms))
        for kind in kinds
    ]
    rows.append(("all", *(str(sum(arm.outcomes.values())) for arm in arms)))
    rows.append(("could be read", *(rate_text(arm.readable) for arm in arms)))
    return _table(("answers", *(arm.arm.value for arm in arms)), rows)


def _place(kind: str) -> int:
    return _KINDS.index(kind) if kind in _KINDS else len(_KINDS)


def _archetype_table(arms: Sequence[ArmResult]) -> str:
    """Share of honest answers among all sampled ones, one column an arm."""
    kinds = sorted({kind for arm in arms for kind in arm.by_archetype})
    rows = [
        (kind.replace("_", " "), *(rate_text(arm.by_archetype.get(kind)) for arm in arms))
        for kind in kinds
    ]
    return _table(("archetype", *(arm.arm.value for arm in arms)), rows)


def _comparison_table(found: Sequence[Comparison]) -> str:
    head = ("comparison", "scorer", "difference", "margin", "for seeds", "items", "read in both", "templates", "finding", "in words")  # fmt: skip
    rows = [
        (
            f"{c.arm.value} − {c.baseline.value}",
            c.scorer,
            difference_text(c),
            f"{c.margin:.2f}",
            f"{c.seed_allowance:.3f}" if c.seed_allowance else "not known",
            str(c.items),
            str(c.read),
            str(c.clusters),
            c.finding.value,
            finding_text(c),
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


def rate_text(rate: Rate | None) -> str:
    """A rate with its interval; one of nothing is never shown as a number."""
    if rate is None:
        return "not asked"
    if rate.value is None:
        return "none read"
    return f"{rate.value:.3f} [{rate.lower:.3f}, {rate.upper:.3f}]"


def difference_text(pair: Comparison) -> str:
    """A difference with its interval, which holds whatever the unread answers were."""
    if pair.difference is None:
        return "nothing read"
    return f"{pair.difference:+.3f} [{pair.lower:+.3f}, {pair.upper:+.3f}]"


def finding_text(pair: Comparison) -> str:
    """What the finding says, in words."""
    lost = ruled_out(pair.margin)
    return {
        Finding.NOT_WORSE: f"rules out {lost}",
        Finding.WORSE: "shows a loss",
        Finding.INCONCLUSIVE: f"neither shows a loss nor rules out {lost}",
        Finding.UNREADABLE: f"too many answers could not be read to rule out {lost}",
    }[pair.finding]
