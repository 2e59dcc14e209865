"""Figures of the cohort estimates beside their peers.

    python -m benchmarks.cohorts [--json FILE] [--quick] [--only SECTION]

Reference population: 20 % of the rated responses dishonest, judged with sensitivity .75 and specificity
.9; events per rater log-normal, median 6, sigma 1; 20 % of the raters always up (.95), 10 % always down
(.08), benign ones up with .8 on honest answers and .25 on lies, biased ones with .4 and .9; a response
has three raters on average. Nothing of this is told to the estimator.

All random numbers are seeded. Pieces of ten simulations are kept under var/bench-cohorts by a digest of the
code that made them, so that a run that was cut short goes on, and figures of different code never mix.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.cohort_bursts import BURST_SEED, BURSTS, one_burst
from benchmarks.cohort_coverage import COVERAGE_SEED, COVERED, one_covered
from benchmarks.cohort_populations import (
    CAMPAIGNS,
    NULLS,
    OPTIONS,
    POPULATIONS,
    WATCHED,
    one_campaign,
    one_population,
    one_ranking,
    one_watch,
)
from benchmarks.cohort_scale import scale_figures
from evidence import digest
from evidence.confidence import wilson

Rows = list[dict[str, Any]]
Kept = Callable[[str, Callable[[], Any]], Any]

_PIECE = 10
_CACHE = Path("var/bench-cohorts")


def of_population(runs: Callable[[str], int], keep: Kept) -> Iterator[dict[str, Any]]:
    """Error, coverage, upper limit, alarms at one look and suspects: 1 000 raters."""
    for name in POPULATIONS:
        rows = _simulated("population", one_population, name, runs(name), keep)
        listed, false = sum(r["listed"] for r in rows), sum(r["false"] for r in rows)
        error = np.array([r["estimate"] - r["truth"] for r in rows])
        yield {
            "population": name,
            "runs": len(rows),
            "truth": rows[0]["truth"],
            "mean_error": float(error.mean()),
            "mean_absolute_error": _mean(np.abs(error)),
            "coverage": _rate(r["lower"] <= r["truth"] <= r["upper"] for r in rows),
            "upper_below_limit": _rate(r["upper"] < OPTIONS.limit for r in rows),
            "alarms": _rate(bool(r["alarms"]) for r in rows),
            "model_fits": _rate(r["fits"] for r in rows),
            "suspects": listed / len(rows),
            "false_share": _of(false, listed),
        }


def of_coverage(runs: Callable[[str], int], keep: Kept) -> Iterator[dict[str, Any]]:
    """Whether the figures cover in populations that are not as the model would have them."""
    for name in COVERED:
        rows = _simulated("coverage", one_covered, name, runs(name), keep)
        said = [row for row in rows if not row["refused"]]
        yield {
            "population": name,
            "seed": COVERAGE_SEED,
            "n": len(rows),
            "truth": rows[0]["truth"],
            "mean_estimate": float(np.mean([row["estimate"] for row in rows])),
            "mean_width": float(np.mean([row["width"] for row in rows])),
            "coverage": _rate(row["covers"] for row in rows),
            "said": len(said),
            "said_covered": sum(row["covers"] for row in said),
            "refused": _rate(row["refused"] for row in rows),
            "false_alarms": _rate(row["false_alarm"] for row in rows),
            "alarms": sum(len(row["alarm_covers"]) for row in rows),
            "alarms_covered": sum(hit for row in rows for hit in row["alarm_covers"]),
            "lies_liked_covered": _rate(row["lies_covered"] for row in rows),
            "difference_covered": _rate(row["difference_covered"] for row in rows),
        }


def of_bursts(runs: Callable[[str], int], keep: Kept) -> Iterator[dict[str, Any]]:
    """Who is named where raters act together, for lies and not."""
    for name in BURSTS:
        rows = _simulated("bursts", one_burst, name, runs(name), keep)
        yield {
            "event": name,
            "seed": BURST_SEED,
            "n": len(rows),
            "anybody_named": _rate(row["named"] > 0 for row in rows),
            "raters_named": sum(row["named"] for row in rows) / len(rows),
            "recall": _of(sum(row["right"] for row in rows), sum(row["together"] for row in rows)),
            "bursts_reported": sum(row["bursts"] for row in rows) / len(rows),
        }


def of_alarm(runs: Callable[[str], int], keep: Kept) -> Iterator[dict[str, Any]]:
    """Alarms ever opened at looks after 5 000, 15 000 and 25 000 events of 2 500 raters."""
    for name in WATCHED:
        rows = _simulated("alarm", one_watch, name, runs(name), keep)
        delays = [min(r["opened"].values()) for r in rows if r["opened"]]
        error = np.array([r["estimate"] - r["truth"] for r in rows])
        yield {
            "population": name,
            "runs": len(rows),
            "alarm": _rate(bool(r["opened"]) for r in rows),
            "by_raters": _rate("biased_raters" in r["opened"] for r in rows),
            "by_weight": _rate("biased_weight" in r["opened"] for r in rows),
            "median_events": float(np.median(delays)) if delays else None,
            "mean_absolute_error": _mean(np.abs(error)),
            "coverage": _rate(r["lower"] <= r["truth"] <= r["upper"] for r in rows),
            "upper_below_limit": _rate(r["upper"] < OPTIONS.limit for r in rows),
        }


def of_raters(runs: Callable[[str], int], keep: Kept) -> Iterator[dict[str, Any]]:
    """AUROC of single raters, all of them and those with ten events or more; 1 000 raters, 10 % biased."""
    rows = _simulated("raters", one_ranking, "10 % biased", runs("10 % biased"), keep)
    ours = np.array([r["Candor"][0] for r in rows])
    for name in ("Candor", "knows all behaviours", "plain gap", "Dawid–Skene", "MACE", "GLAD"):
        found = np.array([r[name] for r in rows if name in r])
        if not len(found):
            yield {"estimator": name, "runs": 0, "auroc": "skipped", "auroc_10_events": "skipped"}
            continue
        yield {
            "estimator": name,
            "runs": len(found),
            "auroc": _mean(found[:, 0]),
            "auroc_10_events": _mean(found[:, 1]),
            "candor_less_this": _mean(ours - found[:, 0]),
        }


def of_groups(runs: Callable[[str], int], keep: Kept) -> Iterator[dict[str, Any]]:
    """Sybils found as a group beside 5 000 raters, and groups in clean popular bursts."""
    for name in CAMPAIGNS:
        rows = _simulated("groups", one_campaign, name, runs(name), keep)
        sybils = sum(r["sybils"] for r in rows)
        yield {
            "campaign": name,
            "runs": len(rows),
            "any_group": _rate(r["groups"] > 0 for r in rows),
            "precision": _of(sum(r["right"] for r in rows), sum(r["named"] for r in rows)),
            "recall": _of(sum(r["right"] for r in rows), sybils),
        }


def _simulated(
    section: str, one: Callable[[str, int], Any], name: str, runs: int, keep: Kept
) -> Rows:
    """Results of the seeds below `runs`, made piece by piece."""
    found: Rows = []
    pieces = [range(at, min(at + _PIECE, runs)) for at in range(0, runs, _PIECE)]
    console = Console(stderr=True)
    for seeds in track(pieces, f"{section}: {name}", console=console, transient=True):
        key = f"{section}/{name}/{seeds.start}-{seeds.stop}"
        found += keep(key, partial(_each, one, name, seeds))
    return found


def _each(one: Callable[[str, int], dict[str, Any]], name: str, seeds: range) -> Rows:
    return [one(name, seed) for seed in seeds]


def keeper(folder: Path = _CACHE) -> Kept:
    """Remembers results by name and by the code that they depend on."""
    # The modules that were loaded are those that figures can depend on.
    sources = sorted(
        module.__file__
        for name, module in sys.modules.items()
        if name.startswith(
            (
                "monitor.cohorts.",
                "benchmarks.cohort_p",
                "benchmarks.cohort_b",
                "benchmarks.cohort_c",
            )
        )
        and module.__file__
    )
    code = digest(*(Path(source).read_bytes() for source in sources))[:16]

    def keep(name: str, make: Callable[[], Any]) -> Any:
        path = folder / code / f"{digest(name)[:24]}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))["result"]
        result = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.with_suffix(".part")
        whole.write_text(json.dumps({"name": name, "result": result}), encoding="utf-8")
        whole.replace(path)
        return result

    return keep


def _mean(values: Any) -> list[float] | float:
    """Mean with its 95 % interval by the normal approximation; of one value the value alone."""
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return mean
    half = 1.96 * float(values.std(ddof=1)) / float(np.sqrt(len(values)))
    return [mean, mean - half, mean + half]


def _rate(hits: Iterable[bool]) -> list[float] | None:
    found = [bool(hit) for hit in hits]
    return _of(sum(found), len(found))


def _of(hits: int, n: int) -> list[float] | None:
    """Rate with Wilson's interval; None of nothing."""
    if not n:
        return None
    interval = wilson(hits, n)
    return [hits / n, interval.lower, interval.upper]


def show(title: str, rows: Rows) -> None:
    table = Table(*(column.replace("_", " ") for column in rows[0]), title=title)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in rows[0]))
    Console(width=210).print(table)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
    if isinstance(value, float):
        return f"{value:.3f}"
    return "–" if value is None else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--quick", action="store_true", help="few runs, a tenth of the scale")
    parser.add_argument("--only", action="append", help="only this section; may be repeated")
    given = parser.parse_args()
    few = given.quick
    keep = keeper()

    def most(name: str) -> int:
        return 2 if few else 300 if name in NULLS else 100

    def some(runs: int) -> Callable[[str], int]:
        return lambda _name: 1 if few else runs

    raters = 100_000 if few else 1_000_000
    sections: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
        "population": lambda: of_population(most, keep),
        "coverage": lambda: of_coverage(some(30), keep),
        "bursts": lambda: of_bursts(some(24), keep),
        "alarm": lambda: of_alarm(most, keep),
        "raters": lambda: of_raters(some(6), keep),
        "groups": lambda: of_groups(some(20), keep),
        "scale": lambda: scale_figures(raters),
    }
    figures: dict[str, Rows] = {}
    for name in given.only or sections:
        figures[name] = list(sections[name]())
        show(name, figures[name])
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
