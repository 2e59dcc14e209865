"""Runs that people move, and runs whose failure must stop nothing else."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from evidence.person import Person
from monitor.launch.job import LocalJob
from monitor.launch.webhook import Webhook
from monitor.services import runs as acts
from tests.monitor.launch.launch_house import (
    ASSISTANT,
    Clock,
    beat,
    decisions_of,
    launcher_on,
    open_alarm,
    runs_of,
    until_done,
)


def test_a_lost_run_folder_stops_neither_other_runs_nor_notices(
    engine: Engine, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdef")
    taken: list[Any] = []

    def receive(request: httpx.Request) -> httpx.Response:
        taken.append(request)
        return httpx.Response(200)

    clock = Clock()
    fields = {"webhook_url": "http://hook.test/gate", "webhook_secret_file": secret}
    launcher = launcher_on(engine, tmp_path, clock, debounce_s=0, **fields)
    launcher._webhook = Webhook(
        engine, launcher._options, httpx.Client(transport=httpx.MockTransport(receive))
    )
    open_alarm(engine)
    (run,) = until_done(launcher, engine)
    launcher.update()
    told = len(taken)
    assert told > 0
    shutil.rmtree(str(run.directory))
    open_alarm(engine, "a2", clock.now + 1)
    clock.now += 10
    with engine.begin() as connection:
        acts.request(connection, ASSISTANT, Person("ana"), reason="again", now_s=clock.now)
    until_done(launcher, engine, 2)
    for _ in range(3):
        launcher.update()
    assert len(taken) > told, "what is announced later is still delivered"


@pytest.mark.parametrize("error", [OSError("disk"), RuntimeError("bug"), KeyError("x")])
def test_no_failure_of_one_run_stops_the_notices(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    launcher = launcher_on(engine, tmp_path, Clock(), debounce_s=0)
    open_alarm(engine)
    until_done(launcher, engine)

    def fail(*_: object, **__: object) -> Any:
        raise error

    delivered: list[float] = []
    monkeypatch.setattr(launcher._settler, "is_stale", fail)
    monkeypatch.setattr(launcher._webhook, "deliver", delivered.append)
    launcher.update()
    assert len(delivered) == 1


def test_a_cancelled_run_loses_its_job_and_its_alarm_starts_no_other(
    engine: Engine, tmp_path: Path
) -> None:
    clock = Clock()
    launcher = launcher_on(engine, tmp_path, clock, debounce_s=0)
    (tmp_path / "job.py").write_text("import time\ntime.sleep(600)\n")
    open_alarm(engine)
    launcher.update()
    (run,) = runs_of(engine)
    assert run.state == "running"
    job = LocalJob(Path(str(run.directory)))
    assert job.alive(), "whoever sees the folder can tell"
    with engine.begin() as connection:
        acts.cancel(connection, run.run_id, Person("ana"), reason="wrong rows", now_s=clock.now)
    deadline = time.monotonic() + 60
    while runs_of(engine)[0].state != "cancelled":
        assert time.monotonic() < deadline
        launcher.update()
        time.sleep(0.05)
    assert not job.alive()
    launcher.update()
    assert [r.state for r in runs_of(engine)] == ["cancelled"]
    assert decisions_of(engine) == []


def test_a_run_that_a_person_asked_for_waits_for_no_alarms_and_is_not_dated_back(
    engine: Engine, tmp_path: Path
) -> None:
    clock = Clock()
    launcher = launcher_on(engine, tmp_path, clock, debounce_s=10_000.0)
    with engine.begin() as connection:
        made = acts.request(connection, ASSISTANT, Person("ana"), reason="look", now_s=clock.now)
    assert made.requested_at_s == clock.now
    launcher.update()
    assert [r.state for r in runs_of(engine)] == ["running"]
    until_done(launcher, engine)


def test_what_a_passing_lag_held_is_decided_again(engine: Engine, tmp_path: Path) -> None:
    clock = Clock()
    beat(engine, clock.now, lag_records=5000)
    launcher = launcher_on(engine, tmp_path, clock, debounce_s=0, finding="not_worse")
    with engine.begin() as connection:
        acts.request(connection, ASSISTANT, Person("ana"), reason="look", now_s=clock.now)
    until_done(launcher, engine)
    assert {d.answer for d in decisions_of(engine)} == {"hold"}
    clock.now += 20
    beat(engine, clock.now)
    launcher.update()
    assert {d.answer for d in decisions_of(engine)} == {"hold", "quarantine", "allow"}
