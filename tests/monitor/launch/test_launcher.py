from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import Connection, Engine, insert, select, update

from evidence import (
    Alarm,
    AlarmState,
    AlarmSubject,
    Assessment,
    BadInputError,
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
from evidence.person import Person
from monitor.launch.job import LocalJob
from monitor.launch.launcher import Launcher
from monitor.launch.options import RetrainOptions
from monitor.launch.webhook import Webhook
from monitor.services import runs as acts
from monitor.services.collect import collect_rows
from monitor.services.decisions import revoke
from monitor.services.evidence import Named, gather
from monitor.store import confirm_runs as store
from monitor.store import health, leases, open_store
from monitor.store.decisions import GATES_TOPIC, revoked_ids
from monitor.store.intake import (
    NewFeedback,
    NewResponse,
    Position,
    insert_feedback,
    insert_responses,
)
from monitor.store.schema import (
    alarms,
    confirm_runs,
    gate_decisions,
    outbox,
    rater_posteriors,
    verdicts,
)
from monitor.store.verdicts import insert_verdicts
from retrain.context import GateContext
from retrain.guard import load_guarded
from retrain.rows import manifest, read_rows
from retrain.signing import generate_keypair

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
    _fill(made)
    yield made
    made.dispose()


def _fill(engine: Engine) -> None:
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
        made.append(_verdict(i))
    with engine.begin() as connection:
        insert_responses(connection, responses, now_s=NOW)
        insert_feedback(connection, signals, {s.response_key for s in signals}, now_s=NOW)
        insert_verdicts(connection, made)
    _beat(engine, NOW)


def _beat(engine: Engine, now_s: float, **changed: Any) -> None:
    """A worker that measures, is not behind, and whose evaluator is well."""
    said = {"evaluator_version": "v1", "calibrated": True, "lag_records": 0, **changed}
    first = health.StoredHealth(evaluator_version="v1")
    with engine.begin() as connection:
        leases.beat(connection, "w1", expected=1, actual=1, paused=False, now_s=now_s, **said)
        health.save(connection, first, first, now_s=now_s)


def _verdict(i: int) -> Verdict:
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


def _open_alarm(engine: Engine, alarm_id: str = "a1", at_s: float = NOW - 100) -> None:
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


def _launcher(
    engine: Engine, tmp_path: Path, clock: Clock, *, finding: str = "worse", **fields: Any
) -> Launcher:
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "model").mkdir(exist_ok=True)

    def command(
        directory: Path, assistant: str, model: Path, options: Mapping[str, str]
    ) -> list[str]:
        assert model == tmp_path / "model"
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


def _until_done(launcher: Launcher, engine: Engine, count: int = 1) -> list[store.ConfirmRun]:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        launcher.tick()
        found = _runs(engine)
        if sum(r.state in {"done", "failed"} for r in found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(_runs(engine))


def _runs(engine: Engine) -> list[store.ConfirmRun]:
    with engine.begin() as connection:
        return store.runs(connection)


def _decisions(engine: Engine) -> list[Any]:
    with engine.begin() as connection:
        query = select(gate_decisions).order_by(gate_decisions.c.created_at_s)
        return list(connection.execute(query))


def test_an_alarm_becomes_a_run_and_closing_it_releases_the_subset(
    engine: Engine, tmp_path: Path
) -> None:
    private, public = generate_keypair(tmp_path / "gate.pem")
    clock = Clock()
    launcher = _launcher(engine, tmp_path, clock, signing_key_file=private)
    assert launcher.tick()
    assert _runs(engine) == []
    _open_alarm(engine)
    launcher.tick()
    assert [(r.state, r.alarm_id) for r in _runs(engine)] == [("waiting", "a1")]
    clock.now += 61
    launcher.tick()
    assert [r.state for r in _runs(engine)] == ["running"]
    (run,) = _until_done(launcher, engine)
    assert run.error is None
    directory = Path(str(run.directory))
    environment = json.loads((directory / "environment.json").read_text())
    assert not [n for n in environment if "CANDOR" in n or "KAFKA" in n]
    assert {d.answer for d in _decisions(engine)} == {"block", "hold"}

    clock.now += 10
    _beat(engine, clock.now)
    with engine.begin() as connection:
        connection.execute(update(alarms).values(state=AlarmState.CLOSED.value))
    launcher.tick()
    answers = [d.answer for d in _decisions(engine)]
    assert sorted(answers) == ["allow", "block", "block", "hold"]
    rows, kept = directory / "rows.jsonl", directory / "released.jsonl"
    assert len(read_rows(rows)) == len(read_rows(kept)) + len(LIES) == N - 4
    decision = directory / "decision-released.json"
    guarded = load_guarded(kept, decision, key=public, clock=clock)
    assert guarded.fingerprint == manifest(read_rows(kept)).digest
    with pytest.raises(BadInputError, match="not_released"):
        load_guarded(rows, directory / "decision-all.json", key=public, clock=clock)
    launcher.tick()
    assert len(_decisions(engine)) == 4, "nothing changed, nothing is decided again"

    with engine.begin() as connection:
        topics = [r.topic for r in connection.execute(select(outbox))]
        ana = Person("ana")
        revoke(connection, guarded.decision.decision_id, ana, reason="x", now_s=clock.now)
        revoked = revoked_ids(connection)
        with pytest.raises(BadInputError):
            revoke(connection, "none", ana, reason="x", now_s=clock.now)
    assert topics.count(GATES_TOPIC) == 4
    with pytest.raises(BadInputError, match="revoked"):
        load_guarded(kept, decision, key=public, revoked=revoked, clock=clock)


def test_alarms_that_come_together_start_one_run(engine: Engine, tmp_path: Path) -> None:
    clock = Clock()
    launcher = _launcher(engine, tmp_path, clock)
    _open_alarm(engine, "a1")
    _open_alarm(engine, "a2", NOW - 50)
    launcher.tick()
    launcher.tick()
    assert len(_runs(engine)) == 1
    clock.now += 61
    _until_done(launcher, engine)
    launcher.tick()
    assert len(_runs(engine)) == 1
    _open_alarm(engine, "a3", clock.now + 1)
    launcher.tick()
    assert [r.state for r in _runs(engine)] == ["done", "waiting"]


def test_off_starts_nothing_and_propose_waits_for_a_person(engine: Engine, tmp_path: Path) -> None:
    clock = Clock()
    _open_alarm(engine)
    off = _launcher(engine, tmp_path, clock, trigger="off")
    off.tick()
    assert _runs(engine) == []
    off.close()
    launcher = _launcher(engine, tmp_path, clock, trigger="propose")
    launcher.tick()
    clock.now += 1000
    launcher.tick()
    (run,) = _runs(engine)
    assert run.state == "proposed"
    for expected in (None, acts.RunStateError):
        with engine.begin() as connection, pytest.raises(expected) if expected else nullcontext():
            acts.approve(connection, run.run_id, Person("ana"), reason="look", now_s=clock.now)
    assert [r.state for r in _until_done(launcher, engine)] == ["done"]


def test_the_daily_budget_holds_over_restarts(engine: Engine, tmp_path: Path) -> None:
    clock = Clock()
    _open_alarm(engine)
    launcher = _launcher(engine, tmp_path, clock, daily_budget=1, debounce_s=0)
    _until_done(launcher, engine)
    launcher.close()
    _open_alarm(engine, "a2", clock.now + 1)
    clock.now += 10
    again = _launcher(engine, tmp_path, clock, daily_budget=1, debounce_s=0)
    again.tick()
    again.tick()
    assert [r.state for r in _runs(engine)] == ["done", "waiting"]
    clock.now += 86_400
    again.tick()
    assert _runs(engine)[1].state in {"running", "done"}
    _until_done(again, engine, 2)


def test_a_run_goes_on_under_another_launcher(engine: Engine, tmp_path: Path) -> None:
    clock = Clock()
    _open_alarm(engine)
    first = _launcher(engine, tmp_path, clock, debounce_s=0)
    first.tick()
    assert [r.state for r in _runs(engine)] == ["running"]
    second = _launcher(engine, tmp_path, clock, debounce_s=0)
    assert not second.tick(), "the lease is held"
    clock.now += 61
    assert [r.state for r in _until_done(second, engine)] == ["done"]


@pytest.mark.parametrize(
    ("fields", "what"),
    [({"models": ()}, "allow-listed"), ({"min_rows": 500}, "liked turns")],
)
def test_a_run_that_cannot_start_fails_with_its_reason(
    engine: Engine, tmp_path: Path, fields: dict[str, Any], what: str
) -> None:
    _open_alarm(engine)
    launcher = _launcher(engine, tmp_path, Clock(), debounce_s=0, **fields)
    (run,) = _until_done(launcher, engine)
    assert run.state == "failed"
    assert what in str(run.error)
    assert _decisions(engine) == []


def test_a_job_that_dies_is_started_again_and_then_given_up(engine: Engine, tmp_path: Path) -> None:
    _open_alarm(engine)
    launcher = _launcher(engine, tmp_path, Clock(), debounce_s=0, finding="nonsense")
    (run,) = _until_done(launcher, engine)
    assert run.state == "failed"
    assert "nonsense" in str(run.error)
    assert _decisions(engine) == []


def test_collected_rows_carry_their_provenance(engine: Engine) -> None:
    with engine.begin() as connection:
        sft = collect_rows(connection, ASSISTANT, limit=1000)
        kto = collect_rows(connection, ASSISTANT, form="kto", limit=1000)
        newest = collect_rows(connection, ASSISTANT, limit=3)
        nobody = collect_rows(connection, "other", limit=3)
    assert (len(sft), len(kto), len(nobody)) == (N - 4, N, 0)
    assert newest == sft[-3:]
    origin = sft[0].provenance
    assert (origin.source, origin.source_version) == ("candor.feedback", "m1")
    assert (origin.response_id, origin.feedback_id, origin.rater) == ("r0", "f0", "u0")
    assert [r.label for r in kto[8:10]] == [True, False]


def _evidence(connection: Connection, assistant: str, now_s: float) -> GateContext:
    every = Named(frozenset(f"r{i}" for i in range(N)), frozenset(f"u{i}" for i in range(7)))
    return gather(connection, assistant, every, coverage_s=86_400, silent_s=60, now_s=now_s)


def test_the_context_holds_what_the_store_knows(engine: Engine) -> None:
    _open_alarm(engine)
    with engine.begin() as connection:
        connection.execute(
            insert(rater_posteriors).values(
                assistant=ASSISTANT,
                rater="u1",
                p_biased=0.9,
                status="suspect",
                n_events=5,
                estimate_id=1,
            )
        )
        found = _evidence(connection, ASSISTANT, NOW)
        later = _evidence(connection, "other", NOW)
    assert len(found.verdicts) == N
    assert found.raters["u1"].status == "suspect"
    assert [a.alarm_id for a in found.alarms] == ["a1"]
    assert [(e.evaluator, e.healthy) for e in found.evaluators] == [("v1", True)]
    assert found.uncovered == ()
    assert (later.verdicts, later.alarms) == ({}, ())


def test_hours_without_verdicts_are_uncovered(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            verdicts.delete().where(verdicts.c.response_id.in_([f"r{i}" for i in range(20)]))
        )
        found = _evidence(connection, ASSISTANT, NOW + 7200)
    (period,) = found.uncovered
    assert "20 of 40" in period.reason
    assert period.from_s <= NOW < period.to_s


def test_run_states_fit_the_column(engine: Engine) -> None:
    width = confirm_runs.c.state.type.length  # type: ignore[attr-defined]
    assert all(
        len(s) <= width
        for s in (store.PROPOSED, store.WAITING, store.RUNNING, store.DONE, store.FAILED)
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
    launcher = _launcher(engine, tmp_path, clock, debounce_s=0, **fields)
    launcher._webhook = Webhook(
        engine, launcher._options, httpx.Client(transport=httpx.MockTransport(receive))
    )
    _open_alarm(engine)
    (run,) = _until_done(launcher, engine)
    launcher.tick()
    told = len(taken)
    assert told > 0
    shutil.rmtree(str(run.directory))
    _open_alarm(engine, "a2", clock.now + 1)
    clock.now += 10
    with engine.begin() as connection:
        acts.request(connection, ASSISTANT, Person("ana"), reason="again", now_s=clock.now)
    _until_done(launcher, engine, 2)
    for _ in range(3):
        launcher.tick()
    assert len(taken) > told, "what is announced later is still delivered"


@pytest.mark.parametrize("error", [OSError("disk"), RuntimeError("bug"), KeyError("x")])
def test_no_failure_of_one_run_stops_the_notices(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    launcher = _launcher(engine, tmp_path, Clock(), debounce_s=0)
    _open_alarm(engine)
    _until_done(launcher, engine)

    def fail(*_: object, **__: object) -> Any:
        raise error

    delivered: list[float] = []
    monkeypatch.setattr(launcher._settler, "is_stale", fail)
    monkeypatch.setattr(launcher._webhook, "deliver", delivered.append)
    assert launcher.tick()
    assert len(delivered) == 1


def test_a_cancelled_run_loses_its_job_and_its_alarm_starts_no_other(
    engine: Engine, tmp_path: Path
) -> None:
    clock = Clock()
    launcher = _launcher(engine, tmp_path, clock, debounce_s=0)
    (tmp_path / "job.py").write_text("import time\ntime.sleep(600)\n")
    _open_alarm(engine)
    launcher.tick()
    (run,) = _runs(engine)
    assert run.state == "running"
    job = LocalJob(Path(str(run.directory)))
    assert job.alive(), "whoever sees the folder can tell"
    with engine.begin() as connection:
        acts.cancel(connection, run.run_id, Person("ana"), reason="wrong rows", now_s=clock.now)
    deadline = time.monotonic() + 60
    while _runs(engine)[0].state != "cancelled":
        assert time.monotonic() < deadline
        launcher.tick()
        time.sleep(0.05)
    assert not job.alive()
    launcher.tick()
    assert [r.state for r in _runs(engine)] == ["cancelled"]
    assert _decisions(engine) == []


def test_a_run_that_a_person_asked_for_waits_for_no_alarms_and_is_not_dated_back(
    engine: Engine, tmp_path: Path
) -> None:
    clock = Clock()
    launcher = _launcher(engine, tmp_path, clock, debounce_s=10_000.0)
    with engine.begin() as connection:
        made = acts.request(connection, ASSISTANT, Person("ana"), reason="look", now_s=clock.now)
    assert made.requested_at_s == clock.now
    launcher.tick()
    assert [r.state for r in _runs(engine)] == ["running"]
    _until_done(launcher, engine)


def test_what_a_passing_lag_held_is_decided_again(engine: Engine, tmp_path: Path) -> None:
    clock = Clock()
    _beat(engine, clock.now, lag_records=5000)
    launcher = _launcher(engine, tmp_path, clock, debounce_s=0, finding="not_worse")
    with engine.begin() as connection:
        acts.request(connection, ASSISTANT, Person("ana"), reason="look", now_s=clock.now)
    _until_done(launcher, engine)
    assert {d.answer for d in _decisions(engine)} == {"hold"}
    clock.now += 20
    _beat(engine, clock.now)
    launcher.tick()
    assert {d.answer for d in _decisions(engine)} == {"hold", "quarantine", "allow"}
