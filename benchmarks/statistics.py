"""Nulls and coverages measured anew: `python -m benchmarks.statistics [--only SECTION]`.

Results are kept in `benchmarks/statistics.json`; a section that was not asked for keeps its rows.
`python -m tools.reference docs` writes the tables of `docs/statistics.md` and `docs/cohorts.md` from it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import alarms, cohorts, demo_raters, detection, honesty, intervals
from benchmarks.alarm_months import months

DATA = Path(__file__).parent / "statistics.json"
Rows = list[dict[str, Any]]


def _named(key: str, found: dict[str, Any], seed: int) -> Rows:
    """One row for each name of a table of results, the n-th from the seed `seed` + n."""
    return [{key: name, "seed": seed + k} | row for k, (name, row) in enumerate(found.items())]


def _peers_null() -> Rows:
    found = detection.peer_run_lengths(100)
    return [
        {"detector": name, "seed": 120} | (row if isinstance(row, dict) else {"skipped": row})
        for name, row in found.items()
    ]


def _mean_delay() -> Rows:
    """One row for each rise and detector."""
    runs, peer_runs = 1_000, 200
    rows: Rows = []
    for k, (rise, found) in enumerate(detection.delay_figures(runs, peer_runs).items()):
        for name, row in found.items():
            n = peer_runs if "river" in name else runs
            value = row if isinstance(row, dict) else {"value": row}
            rows.append({"rise": rise, "detector": name, "seed": 200 + k, "runs": n} | value)
    return rows


def _each(runs: int) -> Callable[[str], int]:
    return lambda _name: runs


SECTIONS: dict[str, Callable[[], Rows]] = {
    "mean_null": lambda: _named("null", detection.null_figures(500), 100),
    "peers_null": _peers_null,
    "mean_delay": _mean_delay,
    "since": lambda: _named("rise", detection.change_point_figures(200), 400),
    "learned_bounds": lambda: intervals.learned_bounds(500),
    "sequences": lambda: intervals.sequences(500),
    "card_intervals": lambda: intervals.card_intervals(2_000),
    "kappas": lambda: intervals.kappas(400),
    "joint_reports": lambda: intervals.joint_reports(400),
    "shipped_delay": lambda: alarms.delays(300),
    "shipped_null": lambda: _named("null", alarms.run_lengths(300), 800),
    "honesty": lambda: honesty.figures(200),
    "demo_raters": lambda: demo_raters.draws(100),
    "months": lambda: months(2),
    "cohort_coverage": lambda: list(cohorts.of_coverage(_each(30), cohorts.keeper())),
    "bursts": lambda: list(cohorts.of_bursts(_each(24), cohorts.keeper())),
}
"""What is measured, cheap sections first; the last three take hours."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure sections and keep their rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(SECTIONS))
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    for name in options.only or SECTIONS:
        rows = SECTIONS[name]()
        kept = json.loads(options.data.read_text(encoding="utf-8")) if options.data.exists() else {}
        kept[name] = rows
        # After each section, so that a run that is cut short keeps what it finished.
        options.data.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
        console.print(f"{name}: {len(rows)} rows")


if __name__ == "__main__":
    main()
