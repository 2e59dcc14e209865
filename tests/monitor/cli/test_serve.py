"""The long-running processes as processes: they come up, say where, and end well on SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.monitor.cli.conftest import Candor


@contextmanager
def running(folder: Path, command: str, **settings: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """The installed command and the line it prints once it is up."""
    clean = {name: v for name, v in os.environ.items() if not name.startswith("CANDOR_")}
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("candor")), command, "--json"],
        cwd=folder,
        env=clean | {f"CANDOR_{name.upper()}": value for name, value in settings.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield process, json.loads(line)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: Any) -> str:
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return str(err)


@pytest.mark.slow
def test_serve(tmp_path: Path) -> None:
    with running(tmp_path, "serve", api_port="0", api_open_on_loopback="true") as (process, told):
        assert httpx.get(f"{told['api']}/healthz").json() == {"status": "ok"}
        ready = httpx.get(f"{told['api']}/readyz")
        assert ready.status_code == 503
        assert {c["name"]: c["ok"] for c in ready.json()["checks"]}["database"] is True
        assert "candor_store_up 1.0" in httpx.get(f"{told['api']}/metrics").text
        assert "Candor" in httpx.get(told["api"]).text
        ended(process)


def test_serve_asks_for_keys_unless_told_otherwise(candor: Candor) -> None:
    refused = candor("serve")
    assert refused.code == 2
    assert "candor keys create api" in refused.err
    assert "CANDOR_API_OPEN_ON_LOOPBACK=true" in refused.err


@pytest.mark.slow
def test_launch(tmp_path: Path) -> None:
    with running(tmp_path, "launch", telemetry_port="0") as (process, told):
        assert "candor_job_failures" in httpx.get(told["metrics"]).text
        ended(process)


@pytest.mark.model
@pytest.mark.slow
def test_up_measures_with_the_real_panel(tmp_path: Path) -> None:
    turn = {
        "response_id": "r1",
        "assistant": "shop",
        "model": "m-1",
        "conversation_id": "c1",
        "user_id": "u1",
        "created_at": "2026-01-01T00:00:00Z",
        "messages": [
            {"role": "user", "content": "What is the capital of France?"},
            {"role": "assistant", "content": "Paris is the capital of France."},
        ],
    }
    with running(tmp_path, "up", api_port="0", api_open_on_loopback="true") as (process, told):
        api = httpx.Client(base_url=told["api"], timeout=30)
        assert api.post("/v1/responses", json=turn).status_code == 202
        verdicts: list[dict[str, Any]] = []
        for _ in range(600):
            verdicts = api.get("/v1/verdicts").json()["verdicts"]
            if verdicts:
                break
            time.sleep(0.1)
        (verdict,) = verdicts
        assert {m["probe"] for m in verdict["measurements"]} >= {"activation"}
        assert verdict["error"] is None
        ended(process)
