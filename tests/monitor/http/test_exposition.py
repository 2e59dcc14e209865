"""Liveness means that the loop moves."""

from __future__ import annotations

import httpx
from prometheus_client import CollectorRegistry, Counter

from monitor.http.exposition import ExpositionServer
from monitor.jobs.pulse import Pulse


def test_health_follows_the_pulse_and_metrics_answer_meanwhile() -> None:
    now = [0.0]
    pulse = Pulse(300.0, lambda: now[0])
    registry = CollectorRegistry()
    Counter("turns_total", "Turns.", registry=registry).inc()
    with ExpositionServer(registry, "127.0.0.1", 0, problem=lambda: pulse.problem) as server:
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        now[0] = 301.0
        still = httpx.get(f"{server.url}/healthz")
        assert still.status_code == 503
        assert "not turned for 301 s" in still.text
        assert "turns_total 1.0" in httpx.get(f"{server.url}/metrics").text
        pulse.beat()
        assert httpx.get(f"{server.url}/healthz").status_code == 200
