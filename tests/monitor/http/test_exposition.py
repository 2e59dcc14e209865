"""Liveness means that the loop moves."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
from prometheus_client import CollectorRegistry, Counter

from monitor.http.exposition import MOST_CONNECTIONS, ExpositionServer
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


def test_connections_that_say_nothing_take_neither_the_threads_nor_the_liveness() -> None:
    before = threading.active_count()
    with ExpositionServer(CollectorRegistry(), "127.0.0.1", 0, problem=lambda: None) as server:
        address = urlsplit(server.url)
        with ExitStack() as held:
            for _ in range(4 * MOST_CONNECTIONS):
                idle = socket.create_connection((str(address.hostname), address.port or 0))
                held.enter_context(idle)
                idle.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
            for _ in range(5):
                assert httpx.get(f"{server.url}/healthz", timeout=30.0).status_code == 200
            assert threading.active_count() - before <= MOST_CONNECTIONS + 3
