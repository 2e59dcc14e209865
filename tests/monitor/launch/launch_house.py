"""A store with rated turns, and a launcher on it whose jobs only write the report they are told to."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, insert, select

from evidence import (
    Alarm,
    AlarmSubject,
    Assessment,
    Feedback,
    Message,
    Purpose,
    Response,
    SampledBy,
    Stratum,
    Verdict,
    VerdictKind,
    verdict_key,
)
from monitor.launch.launcher import Launcher
from monitor.launch.options import RetrainOptions
from monitor.store import confirm_runs as store
from monitor.store import health, leases, open_store
from monitor.store.intake import (
    NewFeedback,
    NewResponse,
    Position,
    insert_feedback,
    insert_responses,
)
from monitor.store.schema import (
    alarms,
    gate_decisions,
)
from monitor.store.verdicts import insert_verdicts
from probes.scorer import Evaluator

ASSISTANT, N, LIES = "support", 40, {3, 8, 21}
STRATUM = Stratum(ASSISTANT)
NOW = 1_800_000_000.0

JOB = Path(__file__).with_name("stand_in_job.py").read_text()


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    made = open_store(f"sqlite:///{tmp_path / 'candor.db'}")
    fill(made)
    yield made
    made.dispose()


def fill(engine: Engine) -> None:
    responses, signals, made = [], [], []
    for i in range(N):
        place = Position("c", "assistant.responses", 0, i)
        response = Response(
            response_id=f"r{i}",
            stratum=STRATUM,
            model="m1",
            conversation_id=f"c{i}",
            rater=f"u{i % 7}",
            created_at_s=NOW - 500 + i,
            messages=(Message("user", f"Q{i}?"), Message("assistant", f"A{i}.")),
        )
        responses.append(NewResponse(response, place, 0.1, 1.0, 1.0, SampledBy.ARRIVAL, None))
        signal = Feedback(
            feedback_id=f"f{i}",
            assistant=ASSISTANT,
            response_id=f"r{i}",
            rater=f"u{i % 7}",
            created_at_s=NOW - 400 + i,
            value=-1.0 if i % 10 == 9 else 1.0,
            kind="thumb",
        )
        signals.append(NewFeedback(signal, Position("c", "assistant.feedback", 0, i)))
        made.append(verdict(i))
    with engine.begin() as connection:
        insert_responses(connection, responses, now_s=NOW)
        insert_feedback(connection, signals, {s.response_key for s in signals}, now_s=NOW)
        insert_verdicts(connection, made)
    beat(engine, NOW)


def beat(engine: Engine, now_s: float, **changed: Any) -> None:
    """A worker that measures, is not behind, and whose evaluator is well."""
    said = {"evaluators": [Evaluator("v1", calibrated=True)], "lag_records": 0, **changed}
    first = health.StoredHealth(evaluator_version="v1")
    with engine.begin() as connection:
        leases.beat(connection, "w1", expected=1, actual=1, paused=False, now_s=now_s, **said)
        health.save(connection, first, first, now_s=now_s)


def verdict(i: int) -> Verdict:
    kind = VerdictKind.LIE if i in LIES else VerdictKind.HONEST
    return Verdict(
        key=verdict_key(ASSISTANT, f"r{i}", "live", 0, ["v1"]),
        response_id=f"r{i}",
        stratum=STRATUM,
        model="m1",
        purpose=Purpose.LIVE,
        repeat=0,
        sampled_by=SampledBy.ARRIVAL,
        inclusion_probability=1.0,
        created_at_s=NOW - 500 + i,
        scored_at_s=NOW - 300 + i,
        assessment=Assessment(
            kind=kind,
            p_lie=0.9 if i in LIES else 0.1,
            p_evasion=0.0,
            measurements=(),
            evaluator_version="v1",
        ),
    )


def open_alarm(engine: Engine, alarm_id: str = "a1", at_s: float = NOW - 100) -> None:
    alarm = Alarm(
        alarm_id=alarm_id,
        subject=AlarmSubject.STRATUM,
        scope=STRATUM.key,
        metric="lie",
        claim="the measured score rose",
        opened_at_s=at_s,
        log_position=1,
        n=40,
        log_evidence=10.0,
        log_threshold=9.0,
    )
    row = {
        "alarm_id": alarm_id,
        "subject": "stratum",
        "scope": STRATUM.key,
        "metric": "lie",
        "state": "open",
        "opened_at_s": at_s,
        "changed_at_s": at_s,
        "record": msgspec.json.encode(alarm).decode(),
    }
    with engine.begin() as connection:
        connection.execute(insert(alarms).values(**row))


def launcher_on(
    engine: Engine, tmp_path: Path, clock: Clock, *, finding: str = "worse", **fields: Any
) -> Launcher:
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "model").mkdir(exist_ok=True)

    def command(
        directory: Path, assistant: str, model: Path, options: Mapping[str, str]
    ) -> list[str]:
        assert model == tmp_path / "model"
        (directory / "options.json").write_text(json.dumps(dict(options)))
        return [sys.executable, str(tmp_path / "job.py"), str(directory), finding, str(clock.now)]

    values: dict[str, Any] = {
        "models": (tmp_path / "model",),
        "work_dir": tmp_path / "work",
        "debounce_s": 60.0,
        **fields,
    }
    environment = {"PATH": "/usr/bin", "CANDOR_DATABASE_URL": "secret", "KAFKA_PASSWORD": "secret"}
    return Launcher(
        engine, RetrainOptions(**values), clock, environment=environment, command=command
    )


def until_done(launcher: Launcher, engine: Engine, count: int = 1) -> list[store.ConfirmRun]:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        launcher.update()
        found = runs_of(engine)
        if sum(r.state in {"done", "failed"} for r in found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(runs_of(engine))


def runs_of(engine: Engine) -> list[store.ConfirmRun]:
    with engine.begin() as connection:
        return store.runs(connection)


def decisions_of(engine: Engine) -> list[Any]:
    with engine.begin() as connection:
        query = select(gate_decisions).order_by(gate_decisions.c.created_at_s)
        return list(connection.execute(query))
