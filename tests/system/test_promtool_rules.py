"""The shipped rules under Prometheus' own checker, firing and not firing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.system.test_promtool_metrics import promtool

pytestmark = pytest.mark.system

FOLDER = Path(__file__).parents[2] / "deploy/prometheus"


def run(*arguments: str) -> None:
    done = subprocess.run(
        [promtool(), *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_well_formed() -> None:
    run("check", "rules", "rules.yml")


def test_the_rules_fire_and_do_not_fire() -> None:
    run("test", "rules", "rules_test.yml")


def test_every_alert_is_tested_both_ways() -> None:
    groups = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    tests = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == alerts


def test_every_alert_says_who_how_soon_and_what_to_do() -> None:
    groups = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    resting = {rule["labels"].get("rests_on") for rule in alerts}
    assert resting == {None, "evaluator", "workers", "store"}
    for rule in alerts:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "runbook_url", "dashboard_url"}
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["labels"]["team"] in {"safety", "ml", "platform"}


def test_the_scrape_configuration_is_well_formed() -> None:
    run("check", "config", "prometheus.yml")


def test_the_least_version_that_the_rules_name_is_not_newer_than_the_one_they_were_tested_with() -> (
    None
):
    found = subprocess.run([promtool(), "--version"], capture_output=True, text=True, check=True)
    tested = version_of(found.stdout + found.stderr)
    stated = version_of((FOLDER / "rules.yml").read_text().partition("or later")[0])
    assert stated <= tested


def version_of(text: str) -> tuple[int, ...]:
    """The first version number of a text."""
    found = re.search(r"(\d+)\.(\d+)", text)
    assert found is not None, text
    return int(found[1]), int(found[2])
