"""Detection beside its peers: run length under the null, delay after a change, speed, coverage.

    python -m benchmarks.detection [--json FILE] [--runs N]

All random numbers are seeded. ADWIN and Page-Hinkley come from river (dependency group `bench`); without
it they are shown as skipped. Delays are means over the runs that did not alarm before the change.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.detector_bank import EDetectorBank
from evidence.change_point import Block, locate, push
from evidence.confidence import upper_bound
from evidence.e_detector import EDetector

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RUN_LENGTH, BEFORE, AFTER = 10_000, 1_000, 4_000
REFERENCE = 0.1
RATES = {".9 → .675": 0.325, ".9 → .81": 0.19, ".9 → .828": 0.172}
NULL_LENGTH, TIMES = 20_000, (1_000, 2_000, 5_000, 10_000)


# Detectors: each maps scores (runs, samples) to the sample of the first alarm, -1 for none.


def e_detector(scores: Floats, reference: float | Floats = REFERENCE) -> Ints:
    bank = EDetectorBank(np.broadcast_to(reference, len(scores)), RUN_LENGTH)
    bank.update(scores)
    return bank.alarm_at


def oracle(scores: Floats, before: float, after: float) -> Ints:
    """Shiryaev-Roberts that knows both rates, at the same threshold."""
    return _recursive(scores, before, after, lambda s, ratio: (s + 1.0) * ratio, RUN_LENGTH)


def cusum(scores: Floats) -> Ints:
    """Page's CUSUM designed for a doubled rate, at the threshold that guarantees the run length."""
    step = lambda s, ratio: np.maximum(s, 1.0) * ratio  # noqa: E731
    return _recursive(scores, REFERENCE, 2 * REFERENCE, step, RUN_LENGTH)


def _recursive(
    scores: Floats,
    before: float,
    after: float,
    step: Callable[[Floats, Floats], Floats],
    threshold: float,
) -> Ints:
    statistic, alarm_at = np.zeros(len(scores)), np.full(len(scores), -1)
    for t, column in enumerate(scores.T, 1):
        ratio = column * after / before + (1.0 - column) * (1.0 - after) / (1.0 - before)
        statistic = np.minimum(step(statistic, ratio), 1e12)
        alarm_at[(statistic >= threshold) & (alarm_at < 0)] = t
    return alarm_at


def fixed_threshold(scores: Floats) -> Ints:
    """Alarm when the mean of the last 100 scores exceeds twice the reference."""
    sums = np.cumsum(np.pad(scores, ((0, 0), (1, 0))), axis=1)
    over = sums[:, 100:] - sums[:, :-100] > 100 * 2 * REFERENCE + 1e-9
    return np.where(over.any(axis=1), over.argmax(axis=1) + 100, -1)


def river_detector(name: str, **settings: float) -> Callable[[Floats], Ints]:
    """River's detector, with its default settings where none are given."""
    from river import drift  # noqa: PLC0415

    def first(scores: Floats) -> Ints:
        found = np.full(len(scores), -1)
        for row, line in enumerate(scores.tolist()):
            detector = getattr(drift, name)(**settings)
            for t, score in enumerate(line, 1):
                detector.update(score)
                if detector.drift_detected:
                    found[row] = t
                    break
        return found

    return first


# Nulls: conditional mean .1 throughout.


def null_bernoulli(rng: np.random.Generator, runs: int) -> Floats:
    return (rng.random((runs, NULL_LENGTH)) < REFERENCE).astype(float)


def null_beta(rng: np.random.Generator, runs: int) -> Floats:
    return rng.beta(0.5, 4.5, (runs, NULL_LENGTH))


def null_dependent(rng: np.random.Generator, runs: int) -> Floats:
    """Volatile spells that a high score starts and that last 20 scores on average."""
    made, volatile = np.empty((runs, NULL_LENGTH)), np.zeros(runs, dtype=bool)
    for t in range(NULL_LENGTH):
        wide = (rng.random(runs) < REFERENCE).astype(float)
        made[:, t] = np.where(volatile, wide, rng.beta(2.0, 18.0, runs))
        volatile = np.where(volatile, rng.random(runs) < 0.95, made[:, t] > 0.2)
    return made


def null_drifting_variance(rng: np.random.Generator, runs: int) -> Floats:
    concentration = np.exp(2.0 * np.sin(np.arange(NULL_LENGTH) / 400.0)) * 2.0
    return rng.beta(0.1 * concentration, 0.9 * concentration, (runs, NULL_LENGTH))


NULLS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "Bernoulli(.1)": null_bernoulli,
    "Beta, mean .1": null_beta,
    "serial dependence": null_dependent,
    "drifting variance": null_drifting_variance,
}


def two_phase_alarms(rng: np.random.Generator, runs: int) -> Ints:
    """A cheap score on all, the dear one with a propensity that follows it, declared minimum .2."""
    truth = null_bernoulli(rng, runs)
    cheap = np.clip(0.5 * truth + rng.beta(1.0, 6.0, truth.shape), 0.0, 1.0)
    chance = np.clip(1.5 * cheap, 0.2, 1.0)
    scores = np.where(rng.random(truth.shape) < chance, truth, np.nan)
    bank = EDetectorBank(np.full(runs, REFERENCE), RUN_LENGTH, min_propensity=0.2)
    bank.update(scores, chance, cheap)
    return bank.alarm_at


def run_length(alarm_at: Ints, length: int) -> dict[str, Any]:
    """Samples per alarm with a 95 % interval, and the share of runs in alarm by t beside t / ARL."""
    alarms, n = int((alarm_at > 0).sum()), len(alarm_at)
    exposure = float(np.where(alarm_at > 0, alarm_at, length).sum())
    by_t = {}
    for t in TIMES:
        limit = t / RUN_LENGTH
        share = float(np.mean((alarm_at > 0) & (alarm_at <= t)))
        error = math.sqrt(limit * (1.0 - limit) / n)
        by_t[str(t)] = {"share": share, "limit": limit, "monte_carlo_error": error}
    return {
        "runs": n,
        "alarms": alarms,
        "run_length": exposure / alarms if alarms else None,
        "lower": exposure / (alarms + 2.0 * math.sqrt(alarms) + 2.0),
        "upper": exposure / (alarms - 2.0 * math.sqrt(alarms)) if alarms > 4 else None,
        "by_t": by_t,
    }


def null_figures(runs: int) -> dict[str, Any]:
    found = {}
    for k, (name, make) in enumerate(NULLS.items()):
        alarm_at = e_detector(make(np.random.default_rng(100 + k), runs))
        found[name] = run_length(alarm_at, NULL_LENGTH)
    seed = 110
    found["weighted two-phase"] = {"seed": seed} | run_length(
        two_phase_alarms(np.random.default_rng(seed), runs), NULL_LENGTH
    )
    return found


def peers() -> dict[str, Callable[[Floats], Ints] | None]:
    """None marks a peer whose package is missing."""
    installed = importlib.util.find_spec("river") is not None
    return {
        "CUSUM (designed for twice the reference)": cusum,
        "fixed threshold (100 scores, twice the reference)": fixed_threshold,
        "ADWIN (river)": river_detector("ADWIN") if installed else None,
        "Page-Hinkley (river)": river_detector("PageHinkley") if installed else None,
        "Page-Hinkley (river, threshold 10)": river_detector("PageHinkley", threshold=10.0)
        if installed
        else None,
    }


def drift(rng: np.random.Generator, runs: int, before: float, after: float) -> Floats:
    scores = (rng.random((runs, BEFORE + AFTER)) < before).astype(float)
    scores[:, BEFORE:] = rng.random((runs, AFTER)) < after
    return scores


def delay(alarm_at: Ints) -> dict[str, Any]:
    late = alarm_at[alarm_at > BEFORE] - BEFORE
    early = float(np.mean((alarm_at > 0) & (alarm_at <= BEFORE)))
    missed = float(np.mean(alarm_at < 0))
    return {
        "delay": float(late.mean()) if len(late) else None,
        "standard_error": float(late.std() / math.sqrt(len(late))) if len(late) else None,
        "early": early,
        "missed": missed,
    }


def delay_figures(runs: int, peer_runs: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for k, (name, rate) in enumerate(RATES.items()):
        scores = drift(np.random.default_rng(200 + k), runs, REFERENCE, rate)
        row = {
            "oracle": delay(oracle(scores, REFERENCE, rate)),
            "e-detector": delay(e_detector(scores)),
            "e-detector, reference learned from 200": delay(_learned(scores, 200)),
            "e-detector, reference learned from 1000": delay(_learned(scores, 1_000)),
        }
        row["ratio"] = row["e-detector"]["delay"] / row["oracle"]["delay"]
        judged = (_judged(REFERENCE), _judged(rate))
        seen = drift(np.random.default_rng(210 + k), runs, *judged)
        row["oracle, judge .75/.9"] = delay(oracle(seen, *judged))
        row["e-detector, judge .75/.9"] = delay(e_detector(seen, judged[0]))
        for peer, call in peers().items():
            some = scores if call in (cusum, fixed_threshold) else scores[:peer_runs]
            row[peer] = delay(call(some)) if call else "skipped: river is not installed"
        found[name] = row
    return found


def _learned(scores: Floats, window: int) -> Ints:
    """The first `window` scores set the reference, the rest are watched."""
    references = np.array([upper_bound(line[:window]) for line in scores])
    found = e_detector(scores[:, window:], references)
    return np.where(found > 0, found + window, -1)


def _judged(rate: float) -> float:
    """Rate of positive answers of a judge with sensitivity .75 and specificity .9."""
    return 0.75 * rate + 0.1 * (1.0 - rate)


def peer_run_lengths(runs: int) -> dict[str, Any]:
    """Under independent scores, and under those whose variance depends on the past."""
    found: dict[str, Any] = {}
    for name in ("Bernoulli(.1)", "serial dependence"):
        scores = NULLS[name](np.random.default_rng(120), runs)
        for peer, call in peers().items():
            found[f"{peer}, {name}"] = (
                run_length(call(scores), NULL_LENGTH) if call else "skipped: river is not installed"
            )
    return found


def speed_figures() -> dict[str, Any]:
    rng = np.random.default_rng(300)
    streams, scores = rng.integers(0, 10_000, 1_000_000), rng.beta(0.5, 4.5, 1_000_000)
    bank = EDetectorBank(np.full(10_000, REFERENCE), RUN_LENGTH)
    start = time.perf_counter()
    bank.update_log(streams, scores)
    seconds = time.perf_counter() - start
    single = EDetector(REFERENCE)
    start = time.perf_counter()
    for score in scores[:20_000]:
        single.update(score)
    return {
        "bank_seconds_per_million": seconds,
        "single_microseconds": (time.perf_counter() - start) / 20_000 * 1e6,
        "bank_bytes_per_stream": bank.bytes_per_stream,
        "single_state_bytes": len(msgspec.json.encode(single.state())),
    }


def change_point_figures(runs: int) -> dict[str, Any]:
    found = {}
    for k, (name, rate) in enumerate(RATES.items()):
        rng = np.random.default_rng(400 + k)
        held, widths = [], []
        for scores in drift(rng, runs, REFERENCE, rate):
            detector, blocks = EDetector(REFERENCE), list[Block]()
            for t, score in enumerate(scores):
                push(blocks, t, 0.0, score)
                if detector.update(score):
                    break
            start = locate(blocks)
            if detector.n > BEFORE and detector.alarm and start is not None:
                held.append(start.lower <= BEFORE <= start.upper)
                widths.append(start.upper - start.lower)
        found[name] = {
            "n": len(held),
            "coverage": float(np.mean(held)),
            "median_width": float(np.median(widths)),
        }
    return found


def show(figures: dict[str, Any], console: Console) -> None:
    table = Table(title=f"Run length under the null, configured {RUN_LENGTH}")
    for column in ("detector and null", "run length", *(f"by {t}" for t in TIMES)):
        table.add_column(column, justify="right")
    nulls = {f"e-detector, {k}": v for k, v in figures["null"].items()}
    for name, row in {**nulls, **figures["peers_null"]}.items():
        if isinstance(row, str):
            table.add_row(name, row)
            continue
        shares = [f"{v['share']:.3f} ≤ {v['limit']:.1f}" for v in row["by_t"].values()]
        value = f"{row['run_length']:.0f}" if row["run_length"] else f"> {row['lower']:.0f}"
        table.add_row(name, value, *shares)
    console.print(table)
    table = Table(title="Delay in samples (share of runs in alarm before the change)")
    table.add_column("detector")
    for name in RATES:
        table.add_column(f"honesty {name}", justify="right")
    for detector in next(iter(figures["delay"].values())):
        cells = [_cell(row[detector]) for row in figures["delay"].values()]
        table.add_row("e-detector / oracle" if detector == "ratio" else detector, *cells)
    console.print(table)
    for name in ("speed", "change_point"):
        console.print(f"[bold]{name}[/bold]", figures[name])


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        if value["delay"] is None:
            return f"none ({value['early']:.2f})"
        never = f"; {value['missed']:.2f} never" if value["missed"] else ""
        return f"{value['delay']:.0f} ± {value['standard_error']:.0f} ({value['early']:.2f}{never})"
    return value if isinstance(value, str) else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--runs", type=int, default=500, help="runs of each null")
    arguments = parser.parse_args()
    started = time.perf_counter()
    figures = {
        "speed": speed_figures(),
        "null": null_figures(arguments.runs),
        "peers_null": peer_run_lengths(100),
        "delay": delay_figures(1_000, 200),
        "change_point": change_point_figures(200),
    }
    figures["seconds"] = time.perf_counter() - started
    show(figures, Console(width=150))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
