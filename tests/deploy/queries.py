"""Every PromQL expression of the shipped dashboards, with Grafana's variables put in place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.deploy.candor_cli import DEPLOY

BOARDS = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in BOARDS}


def panel_queries() -> Iterator[tuple[str, str]]:
    """(board / panel / letter, expression) with every variable at its widest."""
    for name, board in dashboards().items():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__range", "1h")
                yield (
                    f"{name} / {panel['title']} / {target['refId']}",
                    re.sub(r"\$(assistant|segment|stakes)", ".*", expression),
                )
