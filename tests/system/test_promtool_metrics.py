"""Prometheus' own linter over everything that Candor exports."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from prometheus_client import generate_latest

from tests.monitor.telemetry.test_exposition import worked_registry
from tests.system.services import missing

pytestmark = pytest.mark.system


def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        missing("promtool is not installed (Debian's package prometheus)")
    return found


def test_promtool_accepts_the_metrics() -> None:
    text = generate_latest(worked_registry())
    checked = subprocess.run(
        [promtool(), "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
