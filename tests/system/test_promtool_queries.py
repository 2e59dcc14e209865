"""Prometheus' own parser over every query of the dashboards."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.queries import panel_queries
from tests.system.test_promtool_metrics import promtool

pytestmark = pytest.mark.system


def test_prometheus_parses_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": expr} for n, (_, expr) in enumerate(panel_queries())]
    assert len(rules) > 60
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    check = [promtool(), "check", "rules", str(file)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
