"""The doctor says so where an application goes by OpenTelemetry's name for what has none."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from evidence import SampledBy
from monitor.doctor.examine import examine
from monitor.doctor.finding import Finding, Status
from monitor.doctor.unnamed import unnamed_findings
from monitor.ingest.decode import decode_responses
from monitor.ingest.options import IngestOptions
from monitor.settings import DatabaseOptions, Settings
from monitor.store import open_store
from monitor.store.intake import NewResponse, Position, insert_responses

KEY = b"a key of the tests, 32 bytes lng"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_store(f"sqlite:///{tmp_path}/candor.db")
    yield made
    made.dispose()


def put(engine: Engine, *, service: str, agent: str | None = None, **declared: Any) -> None:
    """A chat span of a service, as an application's SDK exports it."""
    with engine.begin() as connection:
        at = int(time.time() * 1e9)
        told = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m",
            "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]',
            "gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "Hello."}]}]',
            **({} if agent is None else {"gen_ai.agent.name": agent}),
        }
        span = {
            "traceId": f"{at:032x}",
            "spanId": f"{at % 2**60:016x}",
            "parentSpanId": "00000000000000aa",
            "name": "chat m",
            "startTimeUnixNano": str(at),
            "endTimeUnixNano": str(at),
            "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in told.items()],
        }
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
        export = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
        (response,) = decode_responses(
            json.dumps(export).encode(),
            options=IngestOptions(**declared),
            key=KEY,
            now_s=time.time(),
        )
        place = Position("c", "t", 0, at)
        item = NewResponse(response, place, 0.5, 1.0, 1.0, SampledBy.ARRIVAL, None)  # type: ignore[arg-type]
        insert_responses(connection, [item], now_s=time.time())


def found(engine: Engine) -> list[Finding]:
    return list(unnamed_findings(engine))


@pytest.mark.parametrize("service", ["unknown_service", "unknown_service:python"])
@pytest.mark.parametrize("declared", [{}, {"assistants": {"shop": ()}}])
def test_an_application_without_a_name_is_a_warning(
    engine: Engine, service: str, declared: dict[str, Any]
) -> None:
    put(engine, service="shop", **declared)
    put(engine, service=service, **declared)
    (one,) = found(engine)
    assert one.status is Status.WARNING
    assert one.detail == f"1 of the newest 2 responses are of {service}"
    assert "OTEL_SERVICE_NAME" in one.advice


def test_it_is_one_of_the_parts_that_the_doctor_looks_at(engine: Engine) -> None:
    put(engine, service="unknown_service:node")
    settings = Settings(database=DatabaseOptions(url=str(engine.url)))
    seen = {one.part: one for one in examine(settings, lambda _part: None)}
    assert seen["traffic"].status is Status.OK
    assert seen["name of the assistant"].status is Status.WARNING


def test_named_ones_are_no_finding(engine: Engine) -> None:
    assert found(engine) == []
    put(engine, service="shop")
    put(engine, service="unknown_service:node", agent="helper")
    put(engine, service="bank", assistants={"shop": ()})
    assert found(engine) == []
