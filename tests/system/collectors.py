"""A real OpenTelemetry Collector that writes what it receives to Kafka, and to other receivers where they are named."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.system.services import free_port, missing
from tests.system.vllm_server import services_dir

Exporters = Mapping[str, object]


@pytest.fixture(scope="module")
def program() -> Path:
    found = services_dir() / "collector" / "bin" / "otelcol"
    if not found.exists():
        missing("no OpenTelemetry Collector: tools/services.sh builds it")
    return found


def to_kafka(kafka: str, topic: str, encoding: str) -> Exporters:
    """The exporter of traces and logs."""
    told = {"topic": topic, "encoding": encoding}
    return {"kafka": {"brokers": [kafka], "traces": told, "logs": told}}


def to_server(name: str, url: str, headers: Mapping[str, str]) -> Exporters:
    """An exporter of traces alone, over OTLP/HTTP."""
    return {f"otlp_http/{name}": {"endpoint": url, "headers": dict(headers)}}


@contextmanager
def collector(program: Path, folder: Path, exporters: Exporters) -> Iterator[httpx.Client]:
    """A client of its OTLP receiver."""
    port, log = free_port(), folder / "collector.log"
    config = folder / "collector.yaml"
    config.write_text(json.dumps(_config(port, exporters)))  # JSON is YAML
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [str(program), "--config", str(config)], stdout=out, stderr=subprocess.STDOUT
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20.0) as client,
    ):
        try:
            until(lambda: answers(client), lambda: log.read_text()[-3000:])
            yield client
        finally:
            process.terminate()
            process.wait(20)


def _config(port: int, exporters: Exporters) -> dict[str, object]:
    received: dict[str, object] = {"receivers": ["otlp"]}
    return {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "exporters": exporters,
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {
                "traces": received | {"exporters": list(exporters)},
                "logs": received | {"exporters": ["kafka"]},
            },
        },
    }


def answers(client: httpx.Client) -> bool:
    try:
        return client.post("/v1/traces", json={}).status_code == 200
    except httpx.TransportError:
        return False


def until(done: Callable[[], bool], tell: Callable[[], str], timeout_s: float = 90.0) -> None:
    end = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < end, tell()
        time.sleep(0.1)
