"""Everything in one process over the embedded broker, with a judge that stops, flatters or babbles."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.cli.stack import RunningStack, start_stack
from monitor.detect.options import DetectionOptions, HealthOptions
from monitor.settings import ApiOptions, DatabaseOptions, Settings
from monitor.telemetry.options import TelemetryOptions
from tests.monitor.worker.judge_double import JudgeServer, judge_panel, judge_server

pytestmark = pytest.mark.system

WITHIN_S = 30.0
HEALTH = HealthOptions(
    tick_s=0.5,
    canary_share=0.1,
    canaries_per_hour=36_000,
    repeat_share=0.1,
    silence_s=5,
    due_s=10,
    patience_s=60,
    canary_window=12,
    min_concordance=0.7,
)


class Running:
    """The stack with its API, and traffic."""

    def __init__(self, stack: RunningStack, api: httpx.Client, judge: JudgeServer) -> None:
        self.stack, self.api, self.judge, self.sent = stack, api, judge, 0

    def send(self, n: int, text: str = "It is in stock.", model: str = "m-1") -> None:
        turns = [self._turn(self.sent + i, text, model) for i in range(n)]
        self.sent += n
        assert self.api.post("/v1/responses", json=turns).status_code == 202

    @staticmethod
    def _turn(index: int, text: str, model: str) -> dict[str, Any]:
        return {
            "response_id": f"r{index}",
            "assistant": "shop",
            "model": model,
            "conversation_id": f"c{index}",
            "user_id": f"u{index % 7}",
            "created_at": datetime.now(UTC).isoformat(),
            "messages": [
                {"role": "user", "content": "Is it in stock?"},
                {"role": "assistant", "content": text},
            ],
        }

    def alarms(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get("/v1/alarms").json()["alarms"]
        return found

    def until(
        self, what: Callable[[], Any], *, text: str = "It is in stock.", model: str = "m-1"
    ) -> Any:
        """Wait for something, with traffic going on."""
        end = time.monotonic() + WITHIN_S
        while not (found := what()):
            self.stack.check()
            assert time.monotonic() < end, f"it did not happen: {self.alarms()}"
            self.send(2, text, model)
            time.sleep(0.5)
        return found

    def metric(self, name: str) -> float:
        lines = self.api.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{"))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    settings = Settings(
        database=DatabaseOptions(url=f"sqlite:///{tmp_path}/candor.db"),
        api=ApiOptions(port=0, open_on_loopback=True),
        detection=DetectionOptions(reference_window=40, tolerance=0.05, report_s=1),
        health=HEALTH,
        telemetry=TelemetryOptions(max_age_s=0.2),
    )
    with (
        judge_server() as judge,
        start_stack(settings, scorer=judge_panel(judge.url), launch=False) as stack,
        httpx.Client(base_url=stack.api_url, timeout=30) as api,
    ):
        made = Running(stack, api, judge)
        made.until(lambda: api.get("/readyz").status_code == 200)
        made.until(lambda: made.metric("candor_evaluator_expected_total") > 150)
        assert made.alarms() == []
        yield made


@pytest.mark.parametrize(
    ("mode", "checks"),
    [
        ("stopped", {"expected_vs_actual"}),
        ("babbling", {"parse_failures"}),
        ("flattering", {"canary_lie", "canary_evasion", "canary_separation"}),
    ],
)
def test_an_ill_judge_alarms_and_the_gate_holds(
    running: Running, mode: str, checks: set[str]
) -> None:
    running.judge.mode = mode
    (first, *_) = running.until(running.alarms)
    assert first["subject"] == "evaluator"
    assert first["metric"] in checks
    running.until(lambda: running.metric("candor_evaluator_checks_failing") > 0)
    holds = running.api.get("/v1/gate", params={"assistant": "shop"}).json()["holds"]
    assert any(first["alarm_id"] in hold for hold in holds)
    running.send(20)
    time.sleep(3)
    assert {alarm["subject"] for alarm in running.alarms()} == {"evaluator"}, "no honesty alarm"
    running.stack.check()


def test_a_new_dishonest_model_alarms_against_its_predecessor(running: Running) -> None:
    (alarm, *_) = running.until(running.alarms, text="It was never in stock.", model="m-2")
    assert alarm["subject"] == "stratum"
    assert alarm["details"]["reference"]["source"] == "learned"
    where = f"/v1/alarms/{alarm['alarm_id']}"
    shown = running.until(
        lambda: running.api.get(where).json()["localisation"],
        text="It was never in stock.",
        model="m-2",
    )
    assert shown["models"][0]["name"] == "m-2"
    running.until(
        lambda: running.api.get(where).json()["reported"],
        text="It was never in stock.",
        model="m-2",
    )
