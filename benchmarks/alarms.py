"""Alarms as shipped: how late, how often never, beside an oracle; false alarms by month; what blind means.

    python -m benchmarks.alarms [--json FILE] [--runs N] [--years N] [--only PART]

Scores are binormal: normal with unit variance, higher for lies by the distance that the AUROC asks for,
read as p_lie by a calibration on 49 % lies. Every setting is the default: a learned reference, the run
length of one detector among three. All random numbers are seeded.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.alarm_months import MONTHS, months
from benchmarks.detector_bank import EDetectorBank
from benchmarks.rank_bank import RankBank
from evidence.confidence import upper_bound, wilson
from evidence.multiplicity import run_length_of_each, total_run_length
from monitor.detect.options import DetectionOptions
from monitor.detect.records import METRICS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OPTIONS = DetectionOptions()
RUN_LENGTH = run_length_of_each(
    total_run_length(OPTIONS.false_alarms_per_month, OPTIONS.responses_per_month), len(METRICS)
)
CALIBRATED_AT = 0.49
MONTH = 30_000
A_DAY = MONTH // 30
RISES = ((0.9, 0.02, 0.10), (0.9, 0.02, 0.20), (0.78, 0.02, 0.10), (0.78, 0.02, 0.20))
BEFORE = (10_000, 2_000)


def distance(auroc: float) -> float:
    """How far apart two normal scores of unit variance with this AUROC are."""
    return math.sqrt(2.0) * NormalDist().inv_cdf(auroc)


def draw(
    rng: np.random.Generator, shape: tuple[int, ...], lies: float, apart: float
) -> tuple[Floats, Floats]:
    """p_lie as calibrated, and the likelihood ratio of a lie to an honest answer."""
    score = rng.normal(size=shape) + apart * (rng.random(shape) < lies)
    log_ratio = apart * score - apart**2 / 2.0
    prior = math.log(CALIBRATED_AT / (1.0 - CALIBRATED_AT))
    return 1.0 / (1.0 + np.exp(-prior - log_ratio)), np.exp(log_ratio)


def oracle(ratio: Floats, before: float, after: float) -> Ints:
    """Shiryaev-Roberts that knows both distributions, at the run length of one detector."""
    factors = (1.0 - after + after * ratio) / (1.0 - before + before * ratio)
    statistic, alarm_at = np.zeros(len(ratio)), np.full(len(ratio), -1)
    for t, column in enumerate(factors.T, 1):
        statistic = np.minimum((statistic + 1.0) * column, 1e12)
        alarm_at[(statistic >= RUN_LENGTH) & (alarm_at < 0)] = t
    return alarm_at


def cell_of(i: int) -> int:
    """`monitor.detect.hours` for the i-th score of a stratum with `A_DAY` scores a day."""
    day, of_day = divmod(i, A_DAY)
    return 4 * (day % 7 >= 5) + 4 * of_day // A_DAY


def shipped(scores: Floats, rng: np.random.Generator, run_length: float = RUN_LENGTH) -> Ints:
    """The first alarm of a stream as the service runs it: the mean and the ranks, after learning."""
    runs, length = scores.shape
    window = OPTIONS.reference_window
    error = OPTIONS.reference_error / len(METRICS)
    references = [upper_bound(line[:window], error) for line in scores]
    mean = EDetectorBank(references, 2.0 * run_length, OPTIONS.tolerance)
    ranks = RankBank(runs, 2.0 * run_length, cells=8)
    for i in range(length):
        column = scores[:, i]
        if i < window:
            ranks.learn(column, cell_of(i))
            continue
        mean.update(column)
        ranks.update(column, rng.random(runs), cell_of(i))
        if (np.maximum(mean.alarm_at, ranks.alarm_at) > 0).all():
            break
    first = np.minimum(_or_never(mean.alarm_at), _or_never(ranks.alarm_at))
    return np.where(first < _NEVER, first + window, -1)


_NEVER = 1 << 40


def _or_never(alarm_at: Ints) -> Ints:
    return np.where(alarm_at > 0, alarm_at, _NEVER)


def delays(runs: int) -> list[dict[str, Any]]:
    """For each rise and each start of it: delays of both, and the share never found in a month."""
    found = []
    for k, (auroc, low, high) in enumerate(RISES):
        for before in BEFORE:
            seed = 700 + 10 * k + before
            rng = np.random.default_rng(seed)
            apart = distance(auroc)
            quiet, _ = draw(rng, (runs, before), low, apart)
            risen, ratio = draw(rng, (runs, MONTH), high, apart)
            late = shipped(np.concatenate([quiet, risen], axis=1), rng) - before
            in_time = late[(late > 0) | (late < -before)]
            late_or_never = np.where(in_time > 0, in_time, _NEVER)
            known = _or_never(oracle(ratio, low, high))
            found.append(
                {
                    "seed": seed,
                    "auroc": auroc,
                    "lies": [low, high],
                    "before": before,
                    "runs": len(in_time),
                    "early": float(np.mean((late <= 0) & (late >= -before))),
                    "oracle": _median(known),
                    "shipped": _median(late_or_never),
                    "ratio": _median(late_or_never)[0] / _median(known)[0],
                    "never": _share(int((late_or_never >= _NEVER).sum()), len(in_time)),
                }
            )
    return found


def _median(values: Ints) -> tuple[float, float, float]:
    """The median with its distribution-free 95 % interval."""
    ordered, n = np.sort(values).astype(float), len(values)
    reach = 0.98 * math.sqrt(n)
    low, high = max(0, math.floor(n / 2 - reach)), min(n - 1, math.ceil(n / 2 + reach))
    return float(np.median(ordered)), float(ordered[low]), float(ordered[high])


def _share(count: int, n: int) -> tuple[float, float, float]:
    interval = wilson(count, n)
    return count / n, interval.lower, interval.upper


def run_lengths(runs: int) -> dict[str, Any]:
    """Alarms by t, at a run length short enough to measure, under exchangeable scores."""
    length, run_length = 20_000, 10_000.0
    nulls: dict[str, Any] = {
        "binormal, AUROC .78, 2 % lies": lambda rng: draw(
            rng, (runs, length), 0.02, distance(0.78)
        ),
        "binormal, AUROC .9, 2 % lies": lambda rng: draw(rng, (runs, length), 0.02, distance(0.9)),
        "0 or 1, 2 % lies": lambda rng: ((rng.random((runs, length)) < 0.02).astype(float), None),
        "Beta(.5, 4.5)": lambda rng: (rng.beta(0.5, 4.5, (runs, length)), None),
    }
    found = {}
    for k, (name, make) in enumerate(nulls.items()):
        rng = np.random.default_rng(800 + k)
        alarm_at = shipped(make(rng)[0], rng, run_length)
        alarms = int((alarm_at > 0).sum())
        exposure = float(np.where(alarm_at > 0, alarm_at, length).sum())
        found[name] = {
            "runs": runs,
            "run_length": exposure / alarms if alarms else None,
            "lower": exposure / (alarms + 2.0 * math.sqrt(alarms) + 2.0),
            "by_t": {
                t: _share(int(((alarm_at > 0) & (alarm_at <= t)).sum()), runs)
                for t in (1_000, 2_000, 5_000)
            },
        }
    return found


def show(figures: dict[str, Any], console: Console) -> None:
    if "delay" in figures:
        table = Table(title=f"Delay in scores as shipped, run length {RUN_LENGTH:g}")
        for name in ("AUROC", "lies", "after", "n", "oracle", "shipped", "ratio", "never", "early"):
            table.add_column(name, justify="right")
        for row in figures["delay"]:
            low, high = row["lies"]
            table.add_row(
                f"{row['auroc']:g}",
                f"{low:g} → {high:g}",
                f"{row['before']}",
                f"{row['runs']}",
                _interval(row["oracle"], "{:.0f}"),
                _interval(row["shipped"], "{:.0f}"),
                f"{row['ratio']:.2f}",
                _interval(row["never"], "{:.3f}"),
                f"{row['early']:.3f}",
            )
        console.print(table)
    if "run_length" in figures:
        table = Table(title="Run length under exchangeable scores, configured 10 000")
        for name in (
            "null",
            "n",
            "run length",
            "by 1 000 (≤ .1)",
            "by 2 000 (≤ .2)",
            "by 5 000 (≤ .5)",
        ):
            table.add_column(name, justify="right")
        for name, row in figures["run_length"].items():
            length = (
                f"{row['run_length']:.0f} (≥ {row['lower']:.0f})" if row["run_length"] else "none"
            )
            shares = [_interval(share, "{:.3f}") for share in row["by_t"].values()]
            table.add_row(name, str(row["runs"]), length, *shares)
        console.print(table)
    if "months" in figures:
        table = Table(
            title=f"False alarms a month over everything, {MONTHS} months each, configured .1"
        )
        for name in (
            "null",
            "months",
            "alarms",
            "a month [95 %]",
            *METRICS,
            "inside",
        ):
            table.add_column(name, justify="right")
        for row in figures["months"]:
            table.add_row(
                row["null"],
                str(row["months"]),
                str(row["alarms"]),
                f"{row['rate']:.2f} [{row['lower']:.2f}, {row['upper']:.2f}]",
                *(str(row["by_metric"].get(metric, 0)) for metric in METRICS),
                "yes" if row["inside"] else "no",
            )
        console.print(table)


def _interval(value: tuple[float, float, float], form: str) -> str:
    shown = [form.format(v) if v < _NEVER else "never" for v in value]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--runs", type=int, default=300, help="runs of each delay and run length")
    parser.add_argument("--years", type=int, default=2, help="simulated years of each null")
    parser.add_argument("--only", choices=["delay", "run_length", "months"])
    arguments = parser.parse_args()
    started = time.perf_counter()
    parts = {
        "delay": lambda: delays(arguments.runs),
        "run_length": lambda: run_lengths(arguments.runs),
        "months": lambda: months(arguments.years),
    }
    figures: dict[str, Any] = {
        name: part() for name, part in parts.items() if arguments.only in {None, name}
    }
    figures["seconds"] = time.perf_counter() - started
    show(figures, Console(width=150))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
