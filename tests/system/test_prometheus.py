"""A real Prometheus with the shipped rules beside a running Candor: the alert fires, and resolves."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from monitor.cli.stack import RunningStack, start_stack
from monitor.settings import (
    ApiOptions,
    CohortOptions,
    DatabaseOptions,
    DetectionOptions,
    Settings,
    TelemetryOptions,
)
from tests.monitor.cli.conftest import WordScorer
from tests.system.services import free_port, missing

pytestmark = pytest.mark.system

RULES = Path(__file__).parents[2] / "deploy/prometheus/rules.yml"


def until(what: Callable[[], Any], timeout_s: float = 600.0) -> Any:
    end = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)
    return found


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[RunningStack]:
    settings = Settings(
        database=DatabaseOptions(url=f"sqlite:///{tmp_path}/candor.db"),
        api=ApiOptions(port=0, open_on_loopback=True),
        cohorts=CohortOptions(refresh_s=1.0),
        detection=DetectionOptions(
            reference=0.1, evasion_reference=0.1, worst_case_reference=0.1, tolerance=0.05
        ),
        telemetry=TelemetryOptions(max_age_s=0.2),
    )
    with start_stack(settings, scorer=WordScorer(), launch=False) as running:
        yield running


@pytest.fixture
def prometheus(stack: RunningStack, tmp_path: Path) -> Iterator[httpx.Client]:
    binary = shutil.which("prometheus")
    if binary is None:
        missing("Prometheus is not installed (Debian's package prometheus)")
    target = stack.api_url.removeprefix("http://")
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "candor", "static_configs": [{"targets": [target]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    server = subprocess.Popen(
        [
            str(binary),
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=10) as client:
            until(lambda: ready(client))
            yield client
    finally:
        server.terminate()
        server.wait(20)


def ready(client: httpx.Client) -> bool:
    try:
        return query(client, "candor_store_up") == [1.0]
    except httpx.HTTPError:
        return False


def query(client: httpx.Client, expression: str) -> list[float]:
    answer = client.get("/query", params={"query": expression}).raise_for_status().json()
    return [float(series["value"][1]) for series in answer["data"]["result"]]


def firing(client: httpx.Client, name: str) -> list[dict[str, Any]]:
    alerts = client.get("/alerts").json()["data"]["alerts"]
    return [a for a in alerts if a["labels"]["alertname"] == name and a["state"] == "firing"]


def turns(first: int, n: int, text: str) -> list[dict[str, Any]]:
    now = datetime.now(UTC).isoformat()
    return [
        {
            "response_id": f"r{i}",
            "assistant": "shop",
            "model": "m-1",
            "conversation_id": f"c{i}",
            "user_id": f"u{i % 7}",
            "created_at": now,
            "messages": [{"role": "assistant", "content": text}],
        }
        for i in range(first, first + n)
    ]


def test_a_drift_fires_the_alert_and_judging_it_resolves(
    stack: RunningStack, prometheus: httpx.Client
) -> None:
    with httpx.Client(base_url=stack.api_url, timeout=30) as api:
        api.post("/v1/responses", json=turns(0, 60, "It is in stock."))
        until(lambda: query(prometheus, 'candor_window_verdicts{kind="honest"}') == [60.0])
        assert query(prometheus, "candor_score_rate_ratio") == [1.0]
        assert firing(prometheus, "CandorHonestyAlarm") == []

        api.post("/v1/responses", json=turns(100, 80, "It was never in stock."))
        (alert, *_) = until(lambda: firing(prometheus, "CandorHonestyAlarm"))
        assert alert["labels"]["scope"] == "shop/other/normal"
        assert alert["annotations"]["runbook_url"].startswith("https://docs.example.org/")
        evidence = query(prometheus, 'max(candor_evidence_log{metric="lie"})')
        assert evidence[0] >= query(prometheus, 'candor_evidence_threshold_log{metric="lie"}')[0]

        for alarm in api.get("/v1/alarms", params={"state": "open"}).json()["alarms"]:
            body = {"by": "ada", "reason": "read twenty of them"}
            url = f"/v1/alarms/{alarm['alarm_id']}"
            assert api.post(f"{url}/confirm", json=body).status_code == 200
            assert api.post(f"{url}/close", json=body).status_code == 200
        until(lambda: not firing(prometheus, "CandorHonestyAlarm"))


def test_prometheus_takes_every_rule_and_every_series(
    stack: RunningStack, prometheus: httpx.Client
) -> None:
    httpx.post(f"{stack.api_url}/v1/responses", json=turns(0, 30, "It is in stock."))
    until(lambda: query(prometheus, 'candor_window_verdicts{kind="honest"}') == [30.0])

    def rules() -> list[dict[str, Any]]:
        groups = prometheus.get("/rules").json()["data"]["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return found if all(rule["health"] == "ok" for rule in found) else []

    found = until(rules)
    groups = yaml.safe_load(RULES.read_text())["groups"]
    assert len(found) == sum(len(group["rules"]) for group in groups)
    (target,) = prometheus.get("/targets").json()["data"]["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
