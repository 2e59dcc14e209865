"""What was measured has counts and seeds, and the page of nulls speaks of every alarm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.statistics import SECTIONS
from monitor.cohorts.alarm import METRICS as POPULATION_METRICS
from monitor.detect.health import CHECKS
from monitor.detect.records import METRICS as STRATUM_METRICS
from monitor.jobs.gap_watch import METRIC as GAP_METRIC
from tools import figures
from tools.nulls import nulls_and_coverages

ROOT = Path(__file__).parents[2]
DATA: dict[str, list[dict[str, Any]]] = json.loads(figures.DATA.read_text())
COUNTS = {"runs", "n", "months"}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_measured_row_has_its_count_and_seed(section: str) -> None:
    assert DATA[section]
    for row in DATA[section]:
        assert "seed" in row, row
        assert COUNTS & set(row) or "skipped" in row, row


def test_nothing_is_kept_that_nothing_measures() -> None:
    assert set(DATA) == {*SECTIONS, "noted"}


def test_every_alarm_stands_among_the_nulls() -> None:
    page = nulls_and_coverages()
    for metric in (*STRATUM_METRICS, *POPULATION_METRICS, GAP_METRIC, *CHECKS):
        assert f"`{metric}`" in page, metric


def test_what_holds_a_figure_exists() -> None:
    for line in nulls_and_coverages().splitlines()[2:]:
        by = line.split("|")[-2].strip(" `")
        path = Path(by) if by.endswith(".py") else Path(*by.split(".")).with_suffix(".py")
        assert (ROOT / path).is_file(), by


def test_a_changed_figure_changes_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = figures.months()
    changed_data = tmp_path / "statistics.json"
    changed = json.loads(figures.DATA.read_text())
    changed["months"][0]["alarms"] += 7
    changed_data.write_text(json.dumps(changed))
    monkeypatch.setattr(figures, "DATA", changed_data)
    figures.rows.cache_clear()
    try:
        assert figures.months() != before
    finally:
        figures.rows.cache_clear()
