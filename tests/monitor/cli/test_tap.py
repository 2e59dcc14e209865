"""`candor tap` as a process of its own."""

from __future__ import annotations

from pathlib import Path

import grpc  # type: ignore[import-untyped]
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from monitor.ingest.embedded import EmbeddedBroker
from monitor.ingest.keys import create_key
from tests.monitor.cli.conftest import Candor
from tests.monitor.cli.test_serve import ended, running
from tests.monitor.tap.test_app import TURN


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "kafka.bootstrap_servers"),
        ({"kafka_bootstrap_servers": "127.0.0.1:1"}, "pseudonym.key_file"),
        ({"kafka_bootstrap_servers": "127.0.0.1:1", "tap_host": "0.0.0.0"}, "tap.host"),  # noqa: S104
    ],
)
def test_it_says_what_it_lacks(candor: Candor, settings: dict[str, str], named: str) -> None:
    refused = candor("tap", **settings)
    assert refused.code == 2
    assert named in refused.err


@pytest.mark.slow
def test_a_turn_passes_through(tmp_path: Path) -> None:
    create_key(tmp_path / "pseudonym.key")
    with (
        EmbeddedBroker() as broker,
        running(
            tmp_path,
            "tap",
            tap_port="0",
            tap_grpc_port="0",
            telemetry_port="0",
            kafka_bootstrap_servers=broker.bootstrap_servers,
            pseudonym_key_file="pseudonym.key",
        ) as (process, told),
    ):
        client = httpx.Client(
            base_url=told["tap"], transport=httpx.HTTPTransport(retries=3), timeout=20
        )
        for _ in range(200):
            if client.get("/readyz").status_code == 200:
                break
        assert client.post("/v1/responses", json=TURN).status_code in (202, 503)
        with grpc.insecure_channel(told["grpc"]) as channel:
            empty = ExportTraceServiceRequest()
            answer = TraceServiceStub(channel).Export(empty, timeout=20, wait_for_ready=True)
            assert not answer.partial_success.error_message
        for page in (client.get("/metrics"), httpx.get(told["metrics"])):
            assert "candor_tap_records_total" in page.text
        ended(process)
