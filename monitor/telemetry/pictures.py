"""Pictures as PNG: honesty or score rate with its band over time, and evidence with its threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from evidence.errors import BadInputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _RED, _GREY = "#1f5fa8", "#b3261e", "#6b6b6b"


@dataclass(frozen=True)
class ShareBand:
    """A share of verdicts over time: vectors of one length. `name` is what the share may be called."""

    name: str

    times_s: Sequence[float]
    value: Sequence[float]
    lower: Sequence[float]
    upper: Sequence[float]
    worst: Sequence[float]
    best: Sequence[float]


@dataclass(frozen=True)
class EvidenceLine:
    """The log evidence of one detector over its samples."""

    name: str
    samples: Sequence[float]
    log_evidence: Sequence[float]


@dataclass(frozen=True)
class Mark:
    """A vertical line with a name, such as an alarm or a deployment."""

    at: float
    name: str


def draw_share(band: ShareBand, path: Path | BinaryIO, *, marks: Sequence[Mark] = ()) -> None:
    """Write a PNG, to a file or into an open one, of a share, its interval, and its worst and best case; times in hours from the first.

    Raises `BadInputError` for an empty band or a folder that cannot be written.
    """
    if not band.times_s:
        raise BadInputError(f"no {band.name} to draw")
    start = band.times_s[0]
    hours = [(t - start) / 3600.0 for t in band.times_s]
    figure, axes = _canvas("hours", band.name)
    axes.fill_between(
        hours, band.worst, band.best, color=_GREY, alpha=0.15, label="worst to best case"
    )
    axes.fill_between(hours, band.lower, band.upper, color=_BLUE, alpha=0.25, label="interval")
    axes.plot(hours, band.value, color=_BLUE, label=band.name)
    axes.set_ylim(0.0, 1.02)
    _marks(axes, [Mark((mark.at - start) / 3600.0, mark.name) for mark in marks])
    _save(figure, axes, path)


def draw_evidence(
    lines: Sequence[EvidenceLine],
    log_threshold: float,
    path: Path | BinaryIO,
    *,
    marks: Sequence[Mark] = (),
) -> None:
    """Write a PNG, to a file or into an open one, of log evidence over samples with the alarm threshold.

    Raises `BadInputError` without lines or for a folder that cannot be written.
    """
    if not lines:
        raise BadInputError("no evidence to draw")
    figure, axes = _canvas("sample", "log evidence")
    for line in lines:
        axes.plot(line.samples, line.log_evidence, linewidth=1.2, label=line.name)
    axes.axhline(log_threshold, color=_RED, linestyle="--", label="threshold")
    _marks(axes, marks)
    _save(figure, axes, path)


def _canvas(x: str, y: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure as NewFigure  # noqa: PLC0415  (slow to import)

    figure = NewFigure(figsize=(9, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes


def _marks(axes: Axes, marks: Sequence[Mark]) -> None:
    for mark in marks:
        axes.axvline(mark.at, color=_RED, linewidth=1.0)
        axes.annotate(
            mark.name,
            (mark.at, 0.98),
            xycoords=("data", "axes fraction"),
            rotation=90,
            va="top",
            ha="right",
        )


def _save(figure: Figure, axes: Axes, path: Path | BinaryIO) -> None:
    axes.legend(fontsize="small", loc="best")
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise BadInputError(error.strerror or str(error), str(path)) from error
