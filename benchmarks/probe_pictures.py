"""The ROC and reliability diagrams of the probes' page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from probes.calibration import reliability
from probes.evaluation import auroc

Array = NDArray[Any]
mpl.use("Agg")


def draw_roc(path: Path, labels: Array, kinds: Array, scores: Mapping[str, Array]) -> None:
    """A panel for each kind: the probe and the baselines on scenarios left out."""
    names = [str(kind) for kind in np.unique(kinds)]
    figure = Figure(figsize=(3.4 * len(names), 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        part = kinds == name
        for label, score in scores.items():
            x, y, _ = roc_curve(labels[part], score[part])
            axes.plot(x, y, label=f"{label} {auroc(labels[part], score[part]):.2f}", lw=1.3)
        axes.plot([0, 1], [0, 1], color="grey", lw=0.6, ls=":")
        axes.set(title=f"{name} ({part.sum()})", xlabel="honest answers flagged")
        axes.legend(fontsize=6.5, loc="lower right")
    figure.axes[0].set_ylabel("lies found")
    figure.savefig(path, dpi=110)


def draw_reliability(path: Path, labels: Array, p: Array, bins: int = 10) -> None:
    """Share of lies against the stated probability in ten bins of equal count."""
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.subplots()
    for stated, share, n in reliability(p, labels, bins):
        half = 1.96 * (max(share * (1 - share), 0.25 / n) / n) ** 0.5
        axes.errorbar(stated, share, yerr=half, fmt="o", color="C0", ms=4, lw=1)
    axes.plot([0, 1], [0, 1], color="grey", lw=0.6, ls=":")
    axes.set(xlabel="stated p_lie", ylabel="share of lies", xlim=(0, 1), ylim=(-0.03, 1.03))
    axes.set_title(f"scenarios left out, n = {len(labels)}", fontsize=10)
    figure.savefig(path, dpi=110)
