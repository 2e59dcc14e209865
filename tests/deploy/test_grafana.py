"""Dashboards and alert rules: as the builders make them, and about metrics that exist."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from deploy.grafana.alerts import template
from deploy.grafana.build import generated
from monitor.telemetry import METRICS
from tests.deploy.candor_cli import DEPLOY
from tests.deploy.queries import dashboards, panel_queries

RULES = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())["groups"]
RECORDED = {rule["record"] for group in RULES for rule in group["rules"] if "record" in rule}
GENERATED = generated()
QUERIES = dict(panel_queries())
BY_NAME = {metric.name: metric for metric in METRICS}


def metric(name: str) -> Any:
    """The declaration of a series, by its name or that of its histogram."""
    return BY_NAME.get(name) or BY_NAME[re.sub("_(bucket|sum|count)$", "", name)]


@pytest.mark.parametrize("path", sorted(GENERATED), ids=str)
def test_generated_files_are_current(path: Any) -> None:
    assert (DEPLOY / path).read_text() == GENERATED[path], "run python -m deploy.grafana.build"


def test_nothing_else_lies_among_the_generated_files() -> None:
    for folder in ("grafana/dashboards", "helm/candor/files/dashboards"):
        found = {p.relative_to(DEPLOY) for p in (DEPLOY / folder).iterdir()}
        assert found == {p for p in GENERATED if str(p.parent) == folder}


def test_there_is_a_board_for_each_question() -> None:
    assert set(dashboards()) == {"overview", "stratum", "cohorts", "evaluators", "gate"}
    assert len(QUERIES) > 60


def test_the_overview_shows_what_is_said_of_acts_with_its_interval_and_its_count() -> None:
    panels = {panel["title"]: panel for panel in dashboards()["overview"]["panels"]}
    rate = panels["Acts that the tool record contradicts"]
    shown = {re.findall(r"\bcandor_\w+", target["expr"])[0] for target in rate["targets"]}
    share = "candor_own_acts_contradicted"
    assert shown == {f"{share}_ratio", f"{share}_lower_ratio", f"{share}_upper_ratio"}
    assert rate["fieldConfig"]["defaults"]["unit"] == "percentunit"
    (count,) = panels["Responses whose acts could be seen"]["targets"]
    assert "candor_own_acts_responses" in count["expr"]


@pytest.mark.parametrize("place", sorted(QUERIES))
def test_queries_name_metrics_and_labels_that_exist(place: str) -> None:
    query = QUERIES[place]
    named = set(re.findall(r"\bcandor_\w+", query))
    recorded = set(re.findall(r"\bcandor:[a-z0-9_:]+", query))
    assert named | recorded, query
    assert recorded <= RECORDED
    for name in named:
        assert metric(name), name
    for name, selector in re.findall(r"(candor_\w+)\{([^}]*)\}", query):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!=|=)", selector))
        assert labels <= set(metric(name).labels), query
    for labels in re.findall(r"by \(([^)]*)\)", query):
        possible = {label for name in named for label in metric(name).labels} | {"le"}
        assert {label.strip() for label in labels.split(",")} <= possible, query


@pytest.mark.parametrize("place", sorted(QUERIES))
def test_replicas_of_the_api_are_never_added_up(place: str) -> None:
    """What each replica counts of its own requests (`candor_answer_…`) is added up."""
    query = QUERIES[place]
    for name in set(re.findall(r"\bcandor_\w+", query)):
        if metric(name).exporter == "serve" and not name.startswith("candor_answer_"):
            assert re.search(r"\b(max|min) ?(by \([^)]*\) )?\(", query), query


def test_legends_name_labels_of_their_query() -> None:
    for board in dashboards().values():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                    assert re.search(rf"by \([^)]*\b{label}\b", target["expr"]), target


def test_panels_say_what_is_seen_and_do_not_overlap() -> None:
    for name, board in dashboards().items():
        taken: set[tuple[int, int]] = set()
        identities = [panel["id"] for panel in board["panels"]]
        assert len(set(identities)) == len(identities)
        for panel in board["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, f"{name}: {panel['title']}"
            taken |= cells
            if panel["type"] != "row":
                assert panel["description"].endswith("."), panel["title"]
                assert panel["datasource"]["uid"] == "${datasource}"


def test_every_alert_of_prometheus_is_one_of_grafana() -> None:
    file = DEPLOY / "grafana/provisioning/alerting/rules.yml"
    made = [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
    alerts = [rule for group in RULES for rule in group["rules"] if "alert" in rule]
    assert [rule["title"] for rule in made] == [alert["alert"] for alert in alerts]
    sources = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text()
    )
    uids = {source["uid"] for source in sources["datasources"]}
    for rule, alert in zip(made, alerts, strict=True):
        query, condition = rule["data"]
        assert query["model"]["expr"] == alert["expr"]
        assert query["datasourceUid"] in uids
        assert condition["model"]["expression"] == "is_number($A)"
        assert rule["condition"] == condition["refId"]
        assert (rule["for"], rule["labels"]) == (alert["for"], alert["labels"])
        assert len(rule["uid"]) <= 40
        # Provisioning expands dollar signs everywhere but in a query's model.
        assert "$" not in str(rule["annotations"])


def test_templates_are_translated() -> None:
    assert template("{{ $labels.scope }} rose") == "{{ .Labels.scope }} rose"
    assert template("{{ $value }} wait") == "{{ .Values.A.Value }} wait"
    assert (
        template("{{ $value | humanizePercentage }}")
        == "{{ .Values.A.Value | humanizePercentage }}"
    )


def test_alerts_of_grafana_take_the_routes_of_alertmanager() -> None:
    contact = yaml.safe_load((DEPLOY / "grafana/provisioning/alerting/contact.yml").read_text())
    (point,) = contact["contactPoints"]
    (receiver,) = point["receivers"]
    assert receiver["type"] == "prometheus-alertmanager"
    assert contact["policies"][0]["receiver"] == point["name"]
