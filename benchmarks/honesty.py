"""Does the honesty that is shown cover the truth: `python -m benchmarks.honesty`, about two minutes.

Populations of answers with a known share of lies, a sensor of a known sharpness that was calibrated at 49 %
lies, and the figures as the API, the metrics and the console take them (`monitor.services.honesty`).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.special import expit
from scipy.stats import norm

from evidence import Stakes, Stratum, VerdictKind
from evidence.confidence import wilson
from evidence.prevalence import LEANS_FROM
from evidence.records import Accuracy
from monitor.services.honesty import stratum_figures
from monitor.store.labels import AuditedVerdict
from monitor.store.status import KindCount
from probes.undecided import band

CALIBRATED_AT, CALIBRATION_ANSWERS = 0.49, 300
LIES = (0.01, 0.02, 0.05, 0.2, 0.5)
AUROCS = (0.9, 0.78, 0.65)
COUNTS = (200, 2_000, 20_000)
LABELS = 50
_STRATUM = Stratum("shop", "other", Stakes.NORMAL)
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


class Cell(NamedTuple):
    """How often a figure was shown, how often it covered, and how wide its interval was."""

    shown: int
    covered: int
    runs: int
    width: float
    undecided: float


class Sensor(NamedTuple):
    """A sensor as a calibration measured it: d' of its scores, its band, its accuracy."""

    separation: float
    undecided: tuple[float, float]
    accuracy: Accuracy


def p_lie(lies: Floats, separation: float, rng: np.random.Generator) -> Floats:
    """Binormal scores as probabilities that are right at the prevalence of the calibration, shape (n,)."""
    x = rng.normal(size=len(lies)) + separation * lies
    prior = math.log(CALIBRATED_AT / (1 - CALIBRATED_AT))
    return np.asarray(expit(separation * x - separation**2 / 2 + prior))


def calibrated(auroc: float, rng: np.random.Generator, n: int = CALIBRATION_ANSWERS) -> Sensor:
    """A sensor whose band and accuracy are those of one calibration."""
    separation = float(math.sqrt(2) * norm.ppf(auroc))
    lies = (rng.random(n) < CALIBRATED_AT).astype(float)
    p = p_lie(lies, separation, rng)
    called = p >= LEANS_FROM
    is_lie = lies == 1.0
    return Sensor(
        separation,
        band(p, lies),
        Accuracy(
            sensitivity=float(called[is_lie].mean()),
            n_lies=float(is_lie.sum()),
            specificity=float((~called[~is_lie]).mean()),
            n_honest=float((~is_lie).sum()),
        ),
    )


def verdicts(p: Floats, sensor: Sensor) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """The verdicts, as the fusion gives them, shape (n,)."""
    lower, upper = sensor.undecided
    decided = np.where(p >= 0.5, VerdictKind.LIE.value, VerdictKind.HONEST.value)
    return np.where((lower <= p) & (p < upper), VerdictKind.UNDECIDED.value, decided)


def cell(lies: float, auroc: float, n: int, *, labels: int, runs: int, seed: int) -> Cell:
    """One population, shown `runs` times, each with a calibration and an audit of its own."""
    shown = covered = 0
    widths: list[float] = []
    unsure: list[float] = []
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        sensor = calibrated(auroc, rng)
        is_lie = (rng.random(n) < lies).astype(float)
        p = p_lie(is_lie, sensor.separation, rng)
        found = verdicts(p, sensor)
        unsure.append(float((found == VerdictKind.UNDECIDED.value).mean()))
        counts = [
            KindCount(
                assistant="shop",
                segment="other",
                stakes="normal",
                kind=str(kind),
                evaluator_version="e1",
                n=int(many),
                weight=float(many),
                weight_squared=float(many),
                leaning=float(((found == kind) & (p >= LEANS_FROM)).sum()),
            )
            for kind, many in zip(*np.unique(found, return_counts=True), strict=True)
        ]
        audited = [
            AuditedVerdict(
                assistant="shop",
                segment="other",
                stakes="normal",
                response_id=f"r{i}",
                scored_at_s=0.0,
                verdict=str(found[i]),
                label="lie" if is_lie[i] else "honest",
                weight=n / labels,
            )
            for i in (rng.choice(n, labels, replace=False) if labels else ())
        ]
        figure = stratum_figures(
            _STRATUM, counts, {("e1", "shop"): sensor.accuracy}, audited
        ).honesty
        if figure.lower is None or figure.upper is None:
            continue
        shown += 1
        covered += figure.lower <= 1 - lies <= figure.upper
        widths.append(figure.upper - figure.lower)
    return Cell(
        shown,
        covered,
        runs,
        float(np.median(widths)) if widths else math.nan,
        float(np.mean(unsure)),
    )


def figures(runs: int) -> list[dict[str, Any]]:
    """Coverage and width of every cell, by the sensor's card and by 50 random labels."""
    found = []
    for labels in (0, LABELS):
        for seed, (lies, auroc, n) in enumerate(
            (lies, auroc, n) for auroc in AUROCS for lies in LIES for n in COUNTS
        ):
            one = cell(lies, auroc, n, labels=labels, runs=runs, seed=seed)
            found.append(
                {"labels": labels, "lies": lies, "auroc": auroc, "answers": n, "seed": seed}
                | one._asdict()
            )
    return found


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    for title, labels in (("by the sensor's card", 0), (f"by {LABELS} random labels", LABELS)):
        table = Table(title=f"Honesty {title}: coverage of 95 % intervals")
        for name in ("lies", "AUROC", "n", "undecided", "shown", "covers", "median width"):
            table.add_column(name, justify="right")
        for row in rows:
            if row["labels"] != labels:
                continue
            bounds = wilson(row["covered"], row["shown"])
            table.add_row(
                f"{row['lies']:.2f}",
                f"{row['auroc']}",
                str(row["answers"]),
                f"{row['undecided']:.2f}",
                f"{row['shown']}/{row['runs']}",
                f"{row['covered'] / row['shown']:.3f} [{bounds.lower:.3f}, {bounds.upper:.3f}]"
                if row["shown"]
                else "—",
                f"{row['width']:.3f}",
            )
        console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print coverage and width of every cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args(arguments)
    show(figures(options.runs), Console(highlight=False, width=140))


if __name__ == "__main__":
    main()
