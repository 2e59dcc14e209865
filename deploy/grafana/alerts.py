"""Grafana's alert rules, made of Prometheus' own: one source, two places that can evaluate it."""

from __future__ import annotations

import re
from typing import Any

FOLDER = "Candor"
DATASOURCE_UID = "prometheus"


def provisioned(rules: dict[str, Any]) -> dict[str, Any]:
    """The provisioning file for the content of deploy/prometheus/rules.yml."""
    groups = []
    for group in rules["groups"]:
        alerts = [rule for rule in group["rules"] if "alert" in rule]
        if alerts:
            groups.append(
                {
                    "orgId": 1,
                    "name": group["name"],
                    "folder": FOLDER,
                    "interval": "1m",
                    "rules": [_rule(alert) for alert in alerts],
                }
            )
    return {"apiVersion": 1, "groups": groups}


def _rule(alert: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": alert["alert"].lower(),
        "title": alert["alert"],
        "condition": "B",
        "data": [
            _data("A", DATASOURCE_UID, {"expr": alert["expr"], "instant": True, "range": False}),
            # As in Prometheus: every series that the expression returns is an alert, whatever its value.
            _data("B", "__expr__", {"type": "math", "expression": "is_number($A)"}),
        ],
        "noDataState": "OK",
        "execErrState": "Error",
        "for": alert["for"],
        "labels": alert["labels"],
        "annotations": {name: template(text) for name, text in alert["annotations"].items()},
    }


def _data(letter: str, source: str, query: dict[str, Any]) -> dict[str, Any]:
    return {
        "refId": letter,
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": source,
        "model": {"refId": letter, **query},
    }


def template(text: str) -> str:
    """Prometheus' template as Grafana's. No dollar sign is left: provisioning would expand it."""
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"{{ .Labels.\1 }}", text)
    return re.sub(r"\{\{ \$value( \| \w+)? \}\}", r"{{ .Values.A.Value\1 }}", text)
