"""All in one process: HTTP to outbox to broker to worker to store to gauges."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from evidence import UnreachableError
from monitor.cli.stack import start_stack
from monitor.detect.options import HealthOptions
from monitor.settings import ApiOptions, CohortOptions, DatabaseOptions, DetectionOptions, Settings
from tests.monitor.cli.conftest import WordScorer


def settings_in(tmp_path: Path, **more: Any) -> Settings:
    return Settings(
        database=DatabaseOptions(url=f"sqlite:///{tmp_path}/candor.db"),
        api=ApiOptions(port=0, open_on_loopback=True),
        cohorts=CohortOptions(refresh_s=0.5),
        detection=DetectionOptions(
            reference=0.1, evasion_reference=0.1, worst_case_reference=0.1, tolerance=0.05
        ),
        health=HealthOptions(canary_share=0, canaries_per_hour=0, repeat_share=0),
        **more,
    )


def turn(index: int, text: str) -> dict[str, Any]:
    return {
        "response_id": f"r{index}",
        "assistant": "shop",
        "model": "m-1",
        "conversation_id": f"c{index}",
        "user_id": f"u{index % 7}",
        "created_at": datetime.now(UTC).isoformat(),
        "messages": [
            {"role": "user", "content": "Is it in stock?"},
            {"role": "assistant", "content": text},
        ],
    }


def until(what: Callable[[], Any], timeout_s: float = 300.0) -> Any:
    end = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
    return found


@pytest.mark.slow
def test_from_request_to_alarm_to_closing_it(tmp_path: Path, scorer: WordScorer) -> None:
    with (
        start_stack(settings_in(tmp_path), scorer=scorer) as stack,
        httpx.Client(base_url=stack.api_url, timeout=30) as api,
    ):
        until(lambda: api.get("/readyz").status_code == 200)
        turns = [turn(i, "It is in stock.") for i in range(40)]
        turns += [turn(i, "It was never in stock.") for i in range(40, 120)]
        assert api.post("/v1/responses", json=turns).json() == {"accepted": 120}
        feedback = [
            {
                "feedback_id": f"f{i}",
                "assistant": "shop",
                "response_id": f"r{i}",
                "user_id": f"u{i % 7}",
                "created_at": datetime.now(UTC).isoformat(),
                "value": 1.0,
                "kind": "thumb",
            }
            for i in range(120)
        ]
        assert api.post("/v1/feedback", json=feedback).status_code == 202

        alarms = until(lambda: api.get("/v1/alarms", params={"state": "open"}).json()["alarms"])
        lie = next(alarm for alarm in alarms if alarm["metric"] == "lie")
        assert lie["scope"] == "shop/other/normal"
        until(lambda: len(api.get("/v1/verdicts?limit=1000").json()["verdicts"]) == 120)
        until(lambda: api.get("/v1/cohorts").json()["cohorts"])

        def honesty() -> bool:
            wanted = (
                'candor_score_rate_ratio{assistant="shop",segment="other",'
                f'stakes="normal"}} {40 / 120}'
            )
            return wanted in api.get("/metrics").text

        until(honesty)
        (stratum,) = api.get("/v1/honesty").json()["strata"]
        assert stratum["basis"] == "sensor", "the worker told the store of its sensor"
        assert stratum["honesty"]["estimate"] == pytest.approx(40 / 120)
        assert 'candor_responses_sampled_total{sampled_by="arrival"} 120.0' in (
            api.get("/metrics").text
        )
        assert "shop/other/normal" in api.get("/").text

        holds = api.get("/v1/gate", params={"assistant": "shop"}).json()["holds"]
        assert any(lie["alarm_id"] in hold for hold in holds)
        for step in ("acknowledge", "confirm", "close"):
            url = f"/v1/alarms/{lie['alarm_id']}/{step}"
            moved = api.post(url, json={"by": "ada", "reason": "checked"})
            assert moved.status_code == 200, moved.text
        assert moved.json()["state"] == "closed"

        # Closing releases the latch: the drift goes on, so it is found again.
        more = [turn(i, "It was never in stock.") for i in range(200, 280)]
        api.post("/v1/responses", json=more)
        until(
            lambda: [
                alarm
                for alarm in api.get("/v1/alarms", params={"state": "open"}).json()["alarms"]
                if alarm["metric"] == "lie" and alarm["alarm_id"] != lie["alarm_id"]
            ]
        )
        stack.check()


def test_a_taken_port_is_one_clear_error(tmp_path: Path, scorer: WordScorer) -> None:
    with start_stack(settings_in(tmp_path), scorer=scorer) as stack:
        port = int(stack.api_url.rpartition(":")[2])
        other = settings_in(tmp_path / "other").model_copy(
            update={"api": ApiOptions(port=port, open_on_loopback=True)}
        )
        with pytest.raises(UnreachableError, match="in use"):
            start_stack(other, scorer=scorer)
