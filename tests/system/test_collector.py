"""A real OpenTelemetry Collector that writes to a real Kafka: turns in pieces, in any order, a worker killed between."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from evidence.tools import TOOL_SPANS
from monitor.store import reading
from monitor.store.intake import unpack_body
from monitor.store.schema import dead_letters, feedback, responses, turn_parts
from tests.system.collectors import collector, program, to_kafka, until
from tests.system.worker_run import Run

__all__ = ["program"]

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

N = 30


def attributes(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": {"stringValue": value}} for name, value in told.items()]


RESOURCE = {"attributes": attributes({"service.name": "mail"})}


def spans_of(turn: int) -> list[dict[str, Any]]:
    """A chat, the call before it and the agent above it."""
    now_ns = time.time_ns()
    messages = {
        f"gen_ai.{way}.messages": json.dumps(
            [{"role": role, "parts": [{"type": "text", "content": text}]}]
        )
        for way, role, text in (
            ("input", "user", "Tell Ana that I am late."),
            ("output", "assistant", f"I've sent mail {turn}."),
        )
    }
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m1", **messages}
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "send_mail",
        "gen_ai.tool.call.result": f"550 mailbox {turn} full",
    }
    agent = {"gen_ai.operation.name": "invoke_agent"}
    made = []
    for number, (parent, told) in enumerate((("", agent), ("a" * 16, tool), ("a" * 16, chat))):
        name = "a" * 16 if not parent else f"{number:016x}"
        made.append(
            {
                "traceId": f"{turn + 1:032x}",
                "spanId": name,
                "parentSpanId": parent,
                "name": told["gen_ai.operation.name"],
                "startTimeUnixNano": str(now_ns - 2_000_000_000 + number),
                "endTimeUnixNano": str(now_ns - 1_000_000_000 + number),
                "attributes": attributes(told),
            }
        )
    return made


def opinion_of(turn: int) -> dict[str, Any]:
    told = {"user.id": "ana", "gen_ai.evaluation.score.label": "thumbs_down"}
    return {
        "timeUnixNano": str(time.time_ns()),
        "eventName": "gen_ai.evaluation.result",
        "traceId": f"{turn + 1:032x}",
        "spanId": f"{2:016x}",
        "attributes": attributes(told),
    }


@pytest.mark.parametrize("encoding", ["otlp_proto", "otlp_json"])
def test_turns_through_a_collector_are_joined_though_the_worker_is_killed(
    kafka: str, tmp_path: Path, program: Path, encoding: str
) -> None:
    settings = {"CANDOR_INGEST_JOIN_WINDOW_S": "4"}
    settings |= {f"CANDOR_SAMPLING_{phase}_RATE": "1" for phase in ("ARRIVAL", "FEEDBACK")}
    run = Run(kafka, tmp_path, f"collector-{encoding}", settings=settings)
    spans = [span for turn in range(N) for span in spans_of(turn)]
    random.Random(4).shuffle(spans)
    try:
        with collector(program, tmp_path, to_kafka(kafka, run.topics[0], encoding)) as client:
            worker = run.start()
            for number, span in enumerate(spans):
                scope = [{"spans": [span]}]
                document = {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": scope}]}
                assert client.post("/v1/traces", json=document).status_code == 200
                if number == len(spans) // 2:
                    until(lambda: bool(rows(run, turn_parts)), run.tail)
                    worker.send_signal(signal.SIGKILL)
                    worker.wait(20)
                    worker = run.start()
            logs = [{"logRecords": [opinion_of(turn) for turn in range(3)]}]
            document = {"resourceLogs": [{"resource": RESOURCE, "scopeLogs": logs}]}
            assert client.post("/v1/logs", json=document).status_code == 200
            until(lambda: len(rows(run, responses)) >= N, run.tail)
            until(lambda: {row.state for row in rows(run, feedback)} == {"matched"}, run.tail)
        found = [unpack_body(row.body) for row in rows(run, responses)]
        assert len(found) == N
        for response in found:
            turn = int(response.messages[-1].content.split()[-1].rstrip("."))
            (call,) = response.extra[TOOL_SPANS]
            assert call["result"] == f"550 mailbox {turn} full"
        assert len(rows(run, feedback)) == 3
        assert rows(run, dead_letters) == []
    finally:
        run.end()


def rows(run: Run, table: Any) -> list[Any]:
    with reading(run.engine) as connection:
        return list(connection.execute(select(table)).all())
