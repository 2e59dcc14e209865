"""The OpenTelemetry SDK's own gRPC exporter sends to the tap, with a broker behind it that is away at first."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from evidence import UnreachableError
from monitor.ingest.connection import Connection
from monitor.tap.grpc_door import GrpcDoor
from tests.monitor.tap.test_app import Tap, broker, records, tap
from tests.system.services import missing
from tests.system.vllm_server import services_dir

__all__ = ["broker", "tap"]

pytestmark = pytest.mark.system

SENDER = Path(__file__).with_name("grpc_sender.py")


@pytest.mark.parametrize("told", [{}, {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}])
def test_what_the_sdk_exports_over_grpc_is_in_the_topics(
    tap: Tap, broker: Connection, monkeypatch: pytest.MonkeyPatch, told: dict[str, str]
) -> None:
    # The application's spans are of this moment.
    monkeypatch.setattr("tests.monitor.tap.test_app.NOW_S", time.time())
    python = services_dir() / "senders" / "bin" / "python"
    if not python.exists():
        missing("the packages that send responses are not installed: run tools/services.sh")
    whole, refused = tap.delivery.send, 0

    def away_at_first(sent: Any) -> None:
        nonlocal refused
        refused += 1
        if refused <= 1:
            raise UnreachableError("Kafka", "away")
        whole(sent)

    monkeypatch.setattr(tap.delivery, "send", away_at_first)
    topics = ("assistant.responses", "assistant.feedback")
    before = [len(records(broker, topic)) for topic in topics]
    with GrpcDoor(tap.taking, "127.0.0.1", 0, options=tap.settings.api) as door:
        done = subprocess.run(
            [str(python), str(SENDER)],
            env=os.environ
            | {
                "OTEL_SERVICE_NAME": "mail",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{door.address}",
                **told,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [True, True], done.stderr[-3000:]
    assert refused >= 3, "tried again"
    new = [records(broker, t)[n:] for t, n in zip(topics, before, strict=True)]
    (chat,) = [one for one in new[0] if one.get("response_id") == "g-1"]
    assert (chat["assistant"], chat["messages"][-1]["content"]) == ("mail", "I've sent the mail.")
    (tool,) = [one for one in new[0] if "550 mailbox full" in json.dumps(one)]
    assert tool["trace_id"] == chat["trace_id"]
    assert [(one["response_id"], one["value"]) for one in new[1]] == [("g-1", 1.0)]
    assert "alice" not in json.dumps(new)
