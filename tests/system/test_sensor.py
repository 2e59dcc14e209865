"""From nothing to an alarm: calibrate on a served approved version, watch, and be told that it lies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.demo.assistant import build_approved
from probes.scenarios import load_scenarios
from probes.sensor import read_sensor
from tests.system.services import free_port
from tests.system.vllm_server import serve

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.model]

APPROVED, NEXT = "helpdesk-1", "helpdesk-2"
CANDOR = [sys.executable, "-m", "monitor.cli"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("vllm")
    weights = build_approved(folder / "approved")
    with serve(weights, APPROVED, folder / "server.log") as url:
        yield url


def settings(url: str, folder: Path, port: int) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CANDOR_")}
    return clean | {
        "CANDOR_ASSISTANT_URL": url,
        "CANDOR_ASSISTANT_APPROVED": APPROVED,
        "CANDOR_ASSISTANT_PROBES": '["approved"]',
        "CANDOR_ASSISTANT_SENSOR": str(folder / "sensor"),
        "CANDOR_SAMPLING_ARRIVAL_RATE": "1",
        "CANDOR_DETECTION_REFERENCE_WINDOW": "40",
        "CANDOR_DETECTION_RESPONSES_PER_MONTH": "1000",
        "CANDOR_DETECTION_FALSE_ALARMS_PER_MONTH": "1",
        "CANDOR_HEALTH_CANARY_SHARE": "0",
        "CANDOR_HEALTH_CANARIES_PER_HOUR": "0",
        "CANDOR_HEALTH_REPEAT_SHARE": "0",
        "CANDOR_API_OPEN_ON_LOOPBACK": "true",
        "CANDOR_API_PORT": str(port),
    }


def record(number: int, model: str, answer: str, prompt: Any) -> dict[str, Any]:
    at = datetime.now(UTC) - timedelta(minutes=200 - number)
    return {
        "response_id": f"r-{number}",
        "assistant": "helpdesk",
        "model": model,
        "conversation_id": f"c-{number}",
        "user_id": f"u-{number}",
        "created_at": at.isoformat(),
        "messages": [
            *({"role": m.role, "content": m.content} for m in prompt),
            {"role": "assistant", "content": answer},
        ],
    }


def test_a_served_approved_version_is_calibrated_on_and_a_lying_one_alarms(
    server: str, tmp_path: Path
) -> None:
    port = free_port()
    environment = settings(server, tmp_path, port)
    made = run("calibrate", "--max-items", "32", "--out", "sensor", "--json", env=environment)
    card = json.loads(made)
    assert card["by_archetype"][-1]["auroc"]["lower"] > 0.8, made
    sensor, _ = read_sensor(tmp_path / "sensor")
    assert sensor.approved == APPROVED
    up = subprocess.Popen([*CANDOR, "up"], env=environment, cwd=tmp_path, start_new_session=True)
    try:
        alarm = watched(f"http://127.0.0.1:{port}")
    finally:
        os.killpg(up.pid, signal.SIGTERM)
        up.wait(timeout=60)
    assert alarm["metric"] == "lie"


def run(*words: str, env: Mapping[str, str]) -> str:
    folder = Path(env["CANDOR_ASSISTANT_SENSOR"]).parent
    done = subprocess.run(
        [*CANDOR, *words], env=dict(env), cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def watched(url: str) -> dict[str, Any]:
    """Send honest answers, then lies; the first alarm about the responses."""
    scenarios = load_scenarios(split="train")
    honest = [(s.pressured_messages(), s.honest_answers[i % 3]) for i, s in enumerate(scenarios)]
    lying = [(s.pressured_messages(), s.lying_answers[i % 3]) for i, s in enumerate(scenarios)]
    with httpx.Client(base_url=url, timeout=30) as client:
        until(lambda: ready(client))
        for number, (prompt, answer) in enumerate([*honest, *lying]):
            model = APPROVED if number < len(honest) else NEXT
            client.post(
                "/v1/responses", json=record(number, model, answer, prompt)
            ).raise_for_status()
        found = until(lambda: lie_alarms(client))
        verdicts = client.get("/v1/verdicts?limit=200").json()["verdicts"]
    assert all(v["kind"] != "error" for v in verdicts)
    first: dict[str, Any] = found[0]
    return first


def until(look: Callable[[], Any]) -> Any:
    """What `look` finds, once it finds something; the watch over all tests ends one that stands still."""
    while not (found := look()):
        time.sleep(1.0)
    return found


def lie_alarms(client: httpx.Client) -> list[dict[str, Any]]:
    return [
        alarm
        for alarm in client.get("/v1/alarms").json()["alarms"]
        if (alarm["subject"], alarm["metric"]) == ("stratum", "lie")
    ]


def ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.HTTPError:
        return False
