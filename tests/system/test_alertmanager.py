"""The shipped Alertmanager configuration: routes by severity and team, and inhibition on a real server."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.system.services import free_port, missing
from tests.system.test_promtool_rules import version_of

pytestmark = pytest.mark.system

DEPLOY = Path(__file__).parents[2] / "deploy"
SECRET = "/run/secrets/alert_webhook_url"

ROUTES = [
    ({"alertname": "CandorHonestyAlarm"}, "safety-oncall"),
    ({"alertname": "CandorEvaluatorAlarm"}, "safety-oncall"),
    ({"alertname": "CandorBiasedRaters"}, "safety"),
    ({"alertname": "CandorStoreDown"}, "oncall"),
    ({"alertname": "CandorRetrainBlocked"}, "ml"),
    ({"alertname": "CandorBacklog"}, "webhook"),
]


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed (Debian's package prometheus-alertmanager)")
    return found


def rule_labels(alert: str) -> dict[str, str]:
    groups = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())["groups"]
    (labels,) = [r["labels"] for g in groups for r in g["rules"] if r.get("alert") == alert]
    return {"alertname": alert, **labels}


class Hook(BaseHTTPRequestHandler):
    """Keeps what Alertmanager posts."""

    received: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.received.append(json.loads(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    received: list[dict[str, Any]] = []
    handler = type("Received", (Hook,), {"received": received})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", received
        server.shutdown()
        thread.join()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The shipped file as its head says to change it for an Alertmanager older than `url_file`."""
    text = (DEPLOY / "alertmanager/alertmanager.yml").read_text()
    assert f"url_file: {SECRET}" in text
    path = tmp_path / "alertmanager.yml"
    path.write_text(text.replace(f"url_file: {SECRET}", "url: http://127.0.0.1:9/"))
    return path


def test_it_is_well_formed(config: Path) -> None:
    check = [tool("amtool"), "check-config", str(config)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_file_as_it_is_needs_the_version_that_it_names() -> None:
    shipped = DEPLOY / "alertmanager/alertmanager.yml"
    stated = version_of(shipped.read_text().partition("or later")[0])
    asked = subprocess.run(
        [tool("amtool"), "--version"], capture_output=True, text=True, check=True
    )
    check = [tool("amtool"), "check-config", str(shipped)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    if version_of(asked.stdout + asked.stderr) >= stated:
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        assert "url_file not found" in done.stdout + done.stderr


@pytest.mark.parametrize(("alert", "receiver"), ROUTES, ids=str)
def test_alerts_reach_their_team(config: Path, alert: dict[str, str], receiver: str) -> None:
    labels = [f"{name}={value}" for name, value in rule_labels(alert["alertname"]).items()]
    test = [tool("amtool"), "config", "routes", "test", f"--config.file={config}"]
    test += [f"--verify.receivers={receiver}", *labels]
    done = subprocess.run(test, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def alertmanager(
    config: Path, hook: tuple[str, list[dict[str, Any]]], tmp_path: Path
) -> Iterator[httpx.Client]:
    text = config.read_text().replace("http://127.0.0.1:9/", hook[0])
    config.write_text(text.replace("group_wait: 30s", "group_wait: 1s").replace("10s", "1s"))
    port = free_port()
    command = [tool("prometheus-alertmanager"), f"--config.file={config}"]
    command += [f"--storage.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}"]
    command += ["--cluster.listen-address="]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            until(lambda: answers(client))
            yield client
    finally:
        server.terminate()
        server.wait(20)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.HTTPError:
        return False


def until(what: Callable[[], Any], timeout_s: float = 300.0) -> Any:
    end = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
    return found


def fire(client: httpx.Client, *alerts: dict[str, str]) -> None:
    ends = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    body = [{"labels": labels, "annotations": {}, "endsAt": ends} for labels in alerts]
    client.post("/api/v2/alerts", json=body).raise_for_status()


def states(client: httpx.Client) -> dict[str, str]:
    alerts = client.get("/api/v2/alerts").json()
    return {alert["labels"]["alertname"]: alert["status"]["state"] for alert in alerts}


def test_a_dead_evaluator_inhibits_what_rests_on_it(
    alertmanager: httpx.Client, hook: tuple[str, list[dict[str, Any]]]
) -> None:
    honesty = rule_labels("CandorHonestyAlarm") | {"scope": "shop/other/normal", "metric": "lie"}
    fire(alertmanager, rule_labels("CandorEvaluatorAlarm") | {"scope": "v1", "metric": "parse"})
    fire(alertmanager, rule_labels("CandorBacklog") | {"topic": "assistant.responses"})
    fire(alertmanager, honesty, rule_labels("CandorRetrainHeld") | {"assistant": "shop"})

    def told() -> set[str]:
        return {a["labels"]["alertname"] for message in hook[1] for a in message["alerts"]}

    until(lambda: told() >= {"CandorEvaluatorAlarm", "CandorBacklog"})
    time.sleep(2.5)  # longer than the waits of the groups above
    assert told() == {"CandorEvaluatorAlarm", "CandorBacklog"}
    assert states(alertmanager) == {
        "CandorEvaluatorAlarm": "active",
        "CandorBacklog": "active",
        "CandorHonestyAlarm": "suppressed",
        "CandorRetrainHeld": "suppressed",
    }
    receivers = {message["receiver"] for message in hook[1]}
    assert receivers == {"safety-oncall", "webhook"}


def test_a_healthy_evaluator_lets_findings_through_and_a_cause_hides_its_effects(
    alertmanager: httpx.Client, hook: tuple[str, list[dict[str, Any]]]
) -> None:
    fire(alertmanager, rule_labels("CandorNoWorker"))
    fire(alertmanager, rule_labels("CandorEvaluationsMissing"), rule_labels("CandorNoTraffic"))
    fire(alertmanager, rule_labels("CandorRetrainBlocked") | {"assistant": "shop"})
    fire(alertmanager, rule_labels("CandorRetrainHeld") | {"assistant": "shop"})
    fire(alertmanager, rule_labels("CandorFeedbackOrphaned"))
    until(
        lambda: (
            len(states(alertmanager)) == 6 and "unprocessed" not in states(alertmanager).values()
        )
    )
    found = states(alertmanager)
    quiet = {name for name, state in found.items() if state == "suppressed"}
    assert quiet == {"CandorEvaluationsMissing", "CandorNoTraffic", "CandorRetrainHeld"}


def test_a_finding_alone_is_told(
    alertmanager: httpx.Client, hook: tuple[str, list[dict[str, Any]]]
) -> None:
    fire(alertmanager, rule_labels("CandorHonestyAlarm") | {"scope": "shop/other/normal"})
    (message, *_) = until(lambda: hook[1])
    assert message["status"] == "firing"
    assert message["commonLabels"]["team"] == "safety"
