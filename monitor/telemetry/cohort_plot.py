"""Pictures of raters: ups on honest answers against ups on lies, and the biased share over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evidence.errors import BadInputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_POINTS = 20_000


@dataclass(frozen=True)
class RaterPoints:
    """Vectors of one length, a value a rater; rates and probabilities in [0, 1]."""

    up_on_honest: Sequence[float]
    up_on_lies: Sequence[float]
    p_biased: Sequence[float]
    n_events: Sequence[int]


def draw_raters(points: RaterPoints, path: Path, *, margin: float, title: str) -> None:
    """Write a PNG of the plane; the area of a point grows with the rater's events.

    Above 20 000 raters an evenly spaced part is drawn, and the title says so. Raises
    `BadInputError` where there is nobody to draw or the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    total = len(points.p_biased)
    if not total:
        raise BadInputError("no raters to draw")
    step = -(-total // _MAX_POINTS)
    shown = range(0, total, step)
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.add_subplot()
    # The surest suspects are drawn last, on top.
    order = sorted(shown, key=lambda i: points.p_biased[i])
    drawn = axes.scatter(
        [points.up_on_honest[i] for i in order],
        [points.up_on_lies[i] for i in order],
        c=[points.p_biased[i] for i in order],
        s=[8 + 4 * min(points.n_events[i], 60) for i in order],
        cmap="coolwarm",
        vmin=0,
        vmax=1,
        alpha=0.7,
        linewidths=0.3,
        edgecolors="black",
    )
    axes.plot([0, 1 - margin], [margin, 1], linestyle="--", linewidth=1, color="#6b6b6b")
    axes.annotate("favours lies", (0.04, 0.95), color="#6b6b6b")
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel="ups on honest answers",
        ylabel="ups on lies",
        title=title if step == 1 else f"{title} (1 rater of {step} shown)",
    )
    figure.colorbar(drawn, ax=axes, label="probability that the rater is biased")
    _save(figure, path)


@dataclass(frozen=True)
class SharePoint:
    """What was known of the biased share at one time; None where nothing could be said."""

    at_s: float
    estimate: float | None
    lower: float
    upper: float


def draw_share(points: Sequence[SharePoint], path: Path, *, limit: float) -> None:
    """Write a PNG of the biased share over time with its band and the limit of the alarm.

    Raises `BadInputError` where nothing could be said at any time, or the file cannot be written.
    """
    import numpy as np  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    known = [(p, p.estimate) for p in points if p.estimate is not None]
    if not known:
        raise BadInputError("no share to draw")
    at = np.array([round(p.at_s) for p, _ in known], dtype="datetime64[s]")
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.fill_between(
        at, [p.lower for p, _ in known], [p.upper for p, _ in known], color="#b5403a", alpha=0.25
    )
    axes.plot(at, [estimate for _, estimate in known], color="#b5403a", marker="o", markersize=3)
    axes.axhline(limit, linestyle="--", linewidth=1, color="#6b6b6b")
    axes.annotate("limit", (at[0], limit), color="#6b6b6b", va="bottom")
    axes.set_ylim(bottom=0)
    axes.set(
        ylabel="share of raters who favour lies",
        title="estimate and interval, by all feedback so far",
    )
    figure.autofmt_xdate()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    try:
        figure.savefig(path, dpi=130)
    except (OSError, ValueError) as error:
        raise BadInputError(str(error), str(path)) from error
