from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import Connection, Engine, insert, select, update

from candor_guard import ANY_ASSISTANT, NOT_CHECKED, load_guarded
from candor_guard.rows import manifest, read_rows
from evidence import (
    AlarmState,
    BadInputError,
)
from evidence.person import Person
from monitor.cli.confirm_plan import finetune_options
from monitor.launch.options import RetrainOptions
from monitor.services import runs as acts
from monitor.services.collect import collect_rows
from monitor.services.decisions import revoke
from monitor.services.evidence import Named, gather
from monitor.services.run_answers import list_items
from monitor.store import confirm_runs as store
from monitor.store import reading
from monitor.store.decisions import GATES_TOPIC, revoked_ids
from monitor.store.schema import (
    alarms,
    confirm_runs,
    outbox,
    rater_posteriors,
    verdicts,
)
from retrain.context import GateContext
from retrain.report_signature import report_fault
from retrain.seeds import SPREADS, SeedBook, SeedSpread, read_book, write_book
from retrain.signing import generate_keypair
from tests.monitor.launch.launch_house import (
    ASSISTANT,
    LIES,
    NOW,
    Clock,
    N,
    beat,
    decisions_of,
    launcher_on,
    open_alarm,
    runs_of,
    until_done,
)


def test_an_alarm_becomes_a_run_and_closing_it_releases_the_subset(
    engine: Engine, tmp_path: Path
) -> None:
    private, public = generate_keypair(tmp_path / "gate.pem")
    clock = Clock()
    launcher = launcher_on(engine, tmp_path, clock, signing_key_file=private)
    launcher.update()
    assert runs_of(engine) == []
    open_alarm(engine)
    launcher.update()
    assert [(r.state, r.alarm_id) for r in runs_of(engine)] == [("waiting", "a1")]
    clock.now += 61
    launcher.update()
    assert [r.state for r in runs_of(engine)] == ["running"]
    (run,) = until_done(launcher, engine)
    assert run.error is None
    with reading(engine) as connection:
        (kept_item,) = list_items(connection, run.run_id, limit=9)
    assert kept_item.answers.arms[0].answers == ("No.",)
    directory = Path(str(run.directory))
    environment = json.loads((directory / "environment.json").read_text())
    assert not [n for n in environment if "CANDOR" in n or "KAFKA" in n]
    assert {d.answer for d in decisions_of(engine)} == {"block", "hold"}

    clock.now += 10
    beat(engine, clock.now)
    with engine.begin() as connection:
        connection.execute(update(alarms).values(state=AlarmState.CLOSED.value))
    launcher.update()
    answers = [d.answer for d in decisions_of(engine)]
    assert sorted(answers) == ["allow", "block", "block", "hold"]
    assert report_fault(directory / "run/report.json", private) is None, (
        "the launcher vouches for it"
    )
    rows, kept = directory / "rows.jsonl", directory / "released.jsonl"
    assert len(read_rows(rows)) == len(read_rows(kept)) + len(LIES) == N - 4
    decision = directory / "decision-released.json"
    guarded = load_guarded(
        kept, decision, public, assistant=ANY_ASSISTANT, revoked=NOT_CHECKED, clock=clock
    )
    assert guarded.fingerprint == manifest(read_rows(kept)).digest
    with pytest.raises(BadInputError, match="not_released"):
        load_guarded(
            rows,
            directory / "decision-all.json",
            public,
            assistant=ANY_ASSISTANT,
            revoked=NOT_CHECKED,
            clock=clock,
        )
    launcher.update()
    assert len(decisions_of(engine)) == 4, "nothing changed, nothing is decided again"

    with engine.begin() as connection:
        topics = [r.topic for r in connection.execute(select(outbox))]
        ana = Person("ana")
        revoke(connection, guarded.decision.decision_id, ana, reason="x", now_s=clock.now)
        revoked = revoked_ids(connection)
        with pytest.raises(BadInputError):
            revoke(connection, "none", ana, reason="x", now_s=clock.now)
    assert topics.count(GATES_TOPIC) == 4
    with pytest.raises(BadInputError, match="revoked"):
        load_guarded(kept, decision, public, assistant=ANY_ASSISTANT, revoked=revoked, clock=clock)


def test_alarms_that_come_together_start_one_run(engine: Engine, tmp_path: Path) -> None:
    clock = Clock()
    launcher = launcher_on(engine, tmp_path, clock)
    open_alarm(engine, "a1")
    open_alarm(engine, "a2", NOW - 50)
    launcher.update()
    launcher.update()
    assert len(runs_of(engine)) == 1
    clock.now += 61
    until_done(launcher, engine)
    launcher.update()
    assert len(runs_of(engine)) == 1
    open_alarm(engine, "a3", clock.now + 1)
    launcher.update()
    assert [r.state for r in runs_of(engine)] == ["done", "waiting"]


def test_off_starts_nothing_and_propose_waits_for_a_person(engine: Engine, tmp_path: Path) -> None:
    clock = Clock()
    open_alarm(engine)
    off = launcher_on(engine, tmp_path, clock, trigger="off")
    off.update()
    assert runs_of(engine) == []
    off.close()
    launcher = launcher_on(engine, tmp_path, clock, trigger="propose")
    launcher.update()
    clock.now += 1000
    launcher.update()
    (run,) = runs_of(engine)
    assert run.state == "proposed"
    for expected in (None, acts.RunStateError):
        with engine.begin() as connection, pytest.raises(expected) if expected else nullcontext():
            acts.approve(connection, run.run_id, Person("ana"), reason="look", now_s=clock.now)
    assert [r.state for r in until_done(launcher, engine)] == ["done"]


def test_the_daily_budget_holds_over_restarts(engine: Engine, tmp_path: Path) -> None:
    clock = Clock()
    open_alarm(engine)
    launcher = launcher_on(engine, tmp_path, clock, daily_budget=1, debounce_s=0)
    until_done(launcher, engine)
    launcher.close()
    open_alarm(engine, "a2", clock.now + 1)
    clock.now += 10
    again = launcher_on(engine, tmp_path, clock, daily_budget=1, debounce_s=0)
    again.update()
    again.update()
    assert [r.state for r in runs_of(engine)] == ["done", "waiting"]
    clock.now += 86_400
    again.update()
    assert runs_of(engine)[1].state in {"running", "done"}
    until_done(again, engine, 2)


def test_a_run_knows_the_spread_between_seeds_of_the_runs_before_it(
    engine: Engine, tmp_path: Path
) -> None:
    clock = Clock()
    open_alarm(engine)
    launcher = launcher_on(engine, tmp_path, clock, debounce_s=0)
    (first,) = until_done(launcher, engine)
    given = json.loads((Path(first.directory or "") / "options.json").read_text())
    assert given["--seeds"] == "0,1,2"
    assert "--seed-spreads" not in given
    book = SeedBook().with_measured("m", {"lies": SeedSpread(deviation=0.02, freedom=3)})
    write_book(Path(first.directory or "") / "run" / SPREADS, book)
    open_alarm(engine, "a2", clock.now + 1)
    clock.now += 10
    second = until_done(launcher, engine, 2)[-1]
    given = json.loads((Path(second.directory or "") / "options.json").read_text())
    assert given["--seed-spreads"] == str(Path(second.directory or "") / SPREADS)
    assert read_book(Path(given["--seed-spreads"])) == book


def test_a_run_goes_on_under_another_launcher(engine: Engine, tmp_path: Path) -> None:
    clock = Clock()
    open_alarm(engine)
    first = launcher_on(engine, tmp_path, clock, debounce_s=0)
    first.update()
    assert [r.state for r in runs_of(engine)] == ["running"]
    second = launcher_on(engine, tmp_path, clock, debounce_s=0)
    before = runs_of(engine)
    assert second.update() == []
    assert runs_of(engine) == before, "the lease is held"
    clock.now += 61
    assert [r.state for r in until_done(second, engine)] == ["done"]


@pytest.mark.parametrize(
    ("fields", "what"),
    [({"models": ()}, "allow-listed"), ({"min_rows": 500}, "liked turns")],
)
def test_a_run_that_cannot_start_fails_with_its_reason(
    engine: Engine, tmp_path: Path, fields: dict[str, Any], what: str
) -> None:
    open_alarm(engine)
    launcher = launcher_on(engine, tmp_path, Clock(), debounce_s=0, **fields)
    (run,) = until_done(launcher, engine)
    assert run.state == "failed"
    assert what in str(run.error)
    assert decisions_of(engine) == []


def test_arms_follow_the_trainers_own_file_of_which_the_run_keeps_a_copy(
    engine: Engine, tmp_path: Path
) -> None:
    open_alarm(engine)
    file = tmp_path / "job.yaml"
    file.write_text("learning_rate: 2.0e-4\nnum_train_epochs: 2\n")
    launcher = launcher_on(engine, tmp_path, Clock(), debounce_s=0, trainer_config=file)
    (run,) = until_done(launcher, engine)
    assert run.state == "done", run.error
    directory = Path(str(run.directory))
    asked = json.loads((directory / "options.json").read_text())
    assert asked["--trainer-config"] == str(directory / "trainer.yaml")
    assert not {"--epochs", "--learning-rate"} & asked.keys()
    told = finetune_options(directory / "rows.jsonl", Path(asked["--trainer-config"]), {})
    assert (told.learning_rate, told.epochs) == (2e-4, 2.0)
    assert told.config_digest == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_trainers_file_that_arms_cannot_follow_fails_before_anything_is_computed(
    engine: Engine, tmp_path: Path
) -> None:
    open_alarm(engine)
    file = tmp_path / "job.yaml"
    file.write_text("packing: true\n")
    launcher = launcher_on(engine, tmp_path, Clock(), debounce_s=0, trainer_config=file)
    (run,) = until_done(launcher, engine)
    assert run.state == "failed"
    assert f"{file}:1" in str(run.error)
    assert not list((tmp_path / "work").glob("*/options.json"))
    with pytest.raises(ValidationError, match="learning_rate already"):
        RetrainOptions(trainer_config=file, learning_rate=1e-3)


def test_a_job_that_dies_is_started_again_and_then_given_up(engine: Engine, tmp_path: Path) -> None:
    open_alarm(engine)
    launcher = launcher_on(engine, tmp_path, Clock(), debounce_s=0, finding="nonsense")
    (run,) = until_done(launcher, engine)
    assert run.state == "failed"
    assert "nonsense" in str(run.error)
    assert decisions_of(engine) == []


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


def evidence_of(connection: Connection, assistant: str, now_s: float) -> GateContext:
    every = Named(frozenset(f"r{i}" for i in range(N)), frozenset(f"u{i}" for i in range(7)))
    return gather(connection, assistant, every, coverage_s=86_400, silent_s=60, now_s=now_s)


def test_the_context_holds_what_the_store_knows(engine: Engine) -> None:
    open_alarm(engine)
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
        found = evidence_of(connection, ASSISTANT, NOW)
        later = evidence_of(connection, "other", NOW)
    assert len(found.verdicts) == N
    assert found.raters["u1"].status == "suspect"
    assert all(stored.said is not None for stored in found.responses.values())
    assert [a.alarm_id for a in found.alarms] == ["a1"]
    assert [(e.evaluator, e.healthy) for e in found.evaluators] == [("v1", True)]
    assert found.uncovered == ()
    assert (later.verdicts, later.alarms) == ({}, ())


def test_hours_without_verdicts_are_uncovered(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            verdicts.delete().where(verdicts.c.response_id.in_([f"r{i}" for i in range(20)]))
        )
        found = evidence_of(connection, ASSISTANT, NOW + 7200)
    (period,) = found.uncovered
    assert "20 of 40" in period.reason
    assert period.from_s <= NOW < period.to_s


def test_run_states_fit_the_column(engine: Engine) -> None:
    width = confirm_runs.c.state.type.length  # type: ignore[attr-defined]
    assert all(
        len(s) <= width
        for s in (store.PROPOSED, store.WAITING, store.RUNNING, store.DONE, store.FAILED)
    )
