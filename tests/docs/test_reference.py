"""The reference pages and the code say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from monitor.cli.app import build
from monitor.cli.packaged import DOCS_URL, GRAFANA_URL
from monitor.cohorts.alarm import METRICS as POPULATION_METRICS
from monitor.detect.records import METRICS as STRATUM_METRICS
from monitor.http.access import Scope
from monitor.jobs.gap_watch import METRIC as GAP_METRIC
from monitor.settings import sections
from monitor.telemetry import METRICS
from tools.reference import PARTS, regenerated

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TOPICS = {"assistant.responses", "assistant.feedback"}
RULES = ROOT / "deploy/prometheus/rules.yml"
BOARDS = {
    json.loads(path.read_text())["uid"]
    for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")
}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_parts_are_current(page: Path) -> None:
    assert page.read_text() == regenerated(page.read_text()), "run `python -m tools.reference docs`"


def test_every_part_is_on_a_page() -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert {name for name in PARTS if f"<!-- generated: {name} -->" in text} == set(PARTS)


def test_every_setting_is_explained() -> None:
    for section, options in sections().items():
        assert options.__doc__, section
        for name, option in options.model_fields.items():
            assert option.description, f"{section}.{name}"


def test_every_alarm_is_explained() -> None:
    text = (DOCS / "alarms.md").read_text()
    of_population = (*POPULATION_METRICS, GAP_METRIC)
    for subject, metrics in (("stratum", STRATUM_METRICS), ("population", of_population)):
        rows = [row for row in text.splitlines() if row.startswith(f"| `{subject}` |")]
        assert [row.split("|")[3].strip(" `") for row in rows] == list(metrics)


def test_every_scope_is_explained() -> None:
    text = (DOCS / "http.md").read_text()
    scopes = re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \| (?!`)", text.split("| scope |")[1], re.MULTILINE
    )
    assert {name for row in scopes for name in re.findall(r"\w+", row)} == {s.value for s in Scope}


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    text = (DOCS / "runbook.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    alerts = [rule for rule in rules() if "alert" in rule]
    assert {section.split("\n")[0] for section in sections} == {a["alert"] for a in alerts}
    for section in sections:
        for part in ("**Means.**", "**First checks.**", "**Confirm.**", "**Close.**"):
            assert part in section, section.split("\n")[0]
    for alert in alerts:
        assert alert["annotations"]["runbook_url"] == (
            f"{DOCS_URL}/runbook/#{alert['alert'].lower()}"
        )
        board = alert["annotations"]["dashboard_url"].removeprefix(f"{GRAFANA_URL}/d/")
        assert board in BOARDS
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in {"page", "ticket"}


def test_rules_and_pages_name_only_metrics_that_exist() -> None:
    known = {metric.name for metric in METRICS}
    texts = {page.name: page.read_text() for page in PAGES} | {"rules": RULES.read_text()}
    for name, text in texts.items():
        for found in re.findall(
            r"\bcandor_(?!monitor-|guard\b|client\b)[a-z0-9_]+[a-z0-9]\b", text
        ):
            assert found in known, f"{name}: {found}"


def test_rules_select_only_labels_that_exist() -> None:
    by_name = {metric.name: set(metric.labels) for metric in METRICS}
    for rule in rules():
        for name, selector in re.findall(r"(candor_\w+)\{([^}]*)\}", rule["expr"]):
            labels = set(re.findall(r"(\w+)\s*=~?", selector))
            assert labels <= by_name[name], rule


def test_pages_name_only_settings_that_exist() -> None:
    known = {name: set(options.model_fields) for name, options in sections().items()}
    for page in PAGES:
        text = page.read_text()
        for section, name in re.findall(r"`([a-z]+)\.([a-z0-9_]+)`", text):
            if section in known and f"{section}.{name}" not in TOPICS:
                assert name in known[section], f"{page.name}: {section}.{name}"
        for variable in re.findall(r"\bCANDOR_[A-Z0-9_]+[A-Z0-9]\b", text):
            if variable in {"CANDOR_DEBUG", "CANDOR_ASSISTANTS"}:
                continue
            section, _, name = variable.removeprefix("CANDOR_").lower().partition("_")
            assert name in known.get(section, ()), f"{page.name}: {variable}"


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_show_only_commands_and_options_that_exist(page: Path) -> None:
    text = page.read_text()
    shown = re.findall(
        r"^(?:\w+=\S+ )*candor ([^\n#]*)", "\n".join(code_blocks(text)), re.MULTILINE
    )
    shown += re.findall(r"`candor ([^`]+)`", text)
    for line in shown:
        command: Any = typer.main.get_command(build())
        known = {"--help"} | {option for p in command.params for option in p.opts}
        for word in line.split():
            if not hasattr(command, "commands"):
                break
            if word in known:
                continue
            assert word in command.commands, f"{page.name}: candor {line}"
            command = command.commands[word]
            known |= {option for p in command.params for option in p.opts}
        options = set(re.findall(r"(--[a-z][a-z-]*)", line))
        assert options <= known, f"{page.name}: candor {line}"


def code_blocks(text: str) -> list[str]:
    return re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
