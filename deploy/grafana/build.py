"""Writes what is generated for Grafana and the chart: `python -m deploy.grafana.build`.

Dashboards into dashboards/, alert rules into provisioning/alerting/, copies of both the dashboards
and Prometheus' rules into the chart, which may only read files of its own, and the settings into the
schema of the chart's values.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.alerts import provisioned
from deploy.grafana.boards import BOARDS
from deploy.settings_schema import with_settings

DEPLOY = Path(__file__).resolve().parent.parent
_HEADER = "# Made of deploy/prometheus/rules.yml by `python -m deploy.grafana.build`.\n"


def generated() -> dict[Path, str]:
    """Path below deploy/ → content of every generated file."""
    rules = (DEPLOY / "prometheus/rules.yml").read_text(encoding="utf-8")
    files = {Path("helm/candor/files/rules.yml"): rules}
    alerts = yaml.safe_dump(provisioned(yaml.safe_load(rules)), sort_keys=False, width=120)
    files[Path("grafana/provisioning/alerting/rules.yml")] = _HEADER + alerts
    for make in BOARDS:
        board = make().build()
        for number, panel in enumerate(board.panels or (), 1):
            panel.id_val = number
        text = JSONEncoder(sort_keys=True, indent=2).encode(board) + "\n"
        for folder in ("grafana/dashboards", "helm/candor/files/dashboards"):
            files[Path(folder) / f"{make.__name__}.json"] = text
    schema = Path("helm/candor/values.schema.json")
    values = with_settings(json.loads((DEPLOY / schema).read_text(encoding="utf-8")))
    files[schema] = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    return files


def main() -> int:
    for path, text in generated().items():
        (DEPLOY / path).parent.mkdir(parents=True, exist_ok=True)
        (DEPLOY / path).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
