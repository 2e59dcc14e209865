"""The estimate in the running system: equal to the command's, and heeded by the gate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import typer
from sqlalchemy import Engine, insert, select, update
from typer.testing import CliRunner

from candor_guard.rows import ChatMessage, Provenance, Row, write_rows
from evidence import AlarmState, AlarmSubject
from monitor.cli import cohorts as command
from monitor.cohorts.estimate import estimate_and_carry
from monitor.cohorts.events import EventTable, RatedEvent
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.simulate import Campaign, Scenario, Topic, simulate
from monitor.jobs.cohort_refresh import CohortRefresh
from monitor.store import open_store, reading
from monitor.store.cohorts import rated_events
from monitor.store.forget import forget
from monitor.store.schema import alarms, cohort_estimates, labels, rater_groups, rater_posteriors
from tests.monitor.worker.rated_store import (
    ASSISTANT,
    add_feedback,
    add_responses,
    feedback_rows,
    fill,
)

NOW_S = 1_790_000_000.0
GATE = "import monitor.cli.app as app; app.FAMILIES = ('monitor.cli.gate',); app.main()"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/candor.db"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    made = open_store(url)
    yield made
    made.dispose()


def drawn_events(seed: int = 0) -> EventTable:
    """400 raters of whom a fifth are biased, 30 sybils, two topics, and responses nobody measured."""
    scenario = Scenario(
        raters=400,
        events_median=15.0,
        mixture={"always_up": 0.2, "biased": 0.2},
        topics=(Topic("other", 0.8), Topic("tax", 0.2)),
        campaigns=(Campaign(raters=30, acts=2, targets=2),),
    )
    events = simulate(scenario, np.random.default_rng(seed)).events
    p_lie = np.where(events.response % 20 == 0, np.nan, events.p_lie)
    return replaced(events, p_lie=p_lie)


def replaced(events: EventTable, **changes: Any) -> EventTable:
    columns = ("raters", "responses", "topics", "rater", "response", "topic")
    columns += ("value", "p_lie", "created_at_s")
    return EventTable.from_columns(**{name: getattr(events, name) for name in columns} | changes)


def refresher(engine: Engine, **options: Any) -> CohortRefresh:
    return CohortRefresh(engine, options=CohortOptions(**options), owner="w", clock=lambda: NOW_S)


def written(engine: Engine, path: Path) -> Path:
    """The store's events as a file for the command."""
    with reading(engine) as connection:
        rows = rated_events(connection, ASSISTANT)
    lines = (
        json.dumps(
            {
                "user_id": row.rater,
                "response_id": row.response_id,
                "value": row.value,
                "p_lie": row.p_lie,
                "created_at": row.created_at_s,
                "topic": row.topic,
                "kind": row.kind,
                "feedback_id": row.feedback_id,
            }
        )
        for row in reversed(rows)
    )
    path.write_text("\n".join(lines))
    return path


def commanded(*arguments: Any) -> dict[str, Any]:
    app = typer.Typer()
    command.register(app)
    result = CliRunner().invoke(
        app, [*(str(a) for a in arguments), "--json"], catch_exceptions=False
    )
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("audited", [False, True])
def test_the_command_gives_the_numbers_of_the_running_system(
    engine: Engine, tmp_path: Path, audited: bool
) -> None:
    events = drawn_events()
    fill(engine, events)
    extra: tuple[Any, ...] = ()
    if audited:
        truth = {name: i % 5 == 0 for i, name in enumerate(events.responses[:150])}
        with engine.begin() as connection:
            connection.execute(
                insert(labels),
                [
                    {
                        "assistant": ASSISTANT,
                        "response_id": name,
                        "labeller": "ana",
                        "kind": "lie" if is_lie else "honest",
                        "inclusion_probability": 0.1,
                        "at_s": 1.0,
                    }
                    for name, is_lie in truth.items()
                ],
            )
        lines = (json.dumps({"response_id": n, "is_lie": t}) for n, t in truth.items())
        (tmp_path / "labels.jsonl").write_text("\n".join(lines))
        extra = ("--labels", tmp_path / "labels.jsonl")
    raised = refresher(engine).update()
    found = commanded(written(engine, tmp_path / "f.jsonl"), *extra)
    with reading(engine) as connection:
        (row,) = connection.execute(select(cohort_estimates)).all()
        stored = connection.execute(select(rater_posteriors)).mappings().all()
    raters, opened = found.pop("raters"), found.pop("alarms")
    record = json.loads(row.record)
    assert record.pop("raters") == []
    plane = record.pop("plane")
    seen = [r for r in raters if r["status"] != "unidentified"]
    assert sum(cell["n"] for cell in plane["cells"]) + plane["hidden"] == len(seen)
    assert plane["unidentified"] == len(raters) - len(seen)
    assert all(cell["n"] >= CohortOptions().min_group for cell in plane["cells"])
    assert found == record
    assert found["n_unmeasured"] > 0 or audited
    assert found["groups"]
    assert opened == [alarm.metric for alarm in raised if alarm.metric != "sycophancy_gap"]
    by_name = {r["rater"]: (r["p_biased"], r["status"], r["n_events"]) for r in stored}
    assert by_name == {r["user_id"]: (r["p_biased"], r["status"], r["n_events"]) for r in raters}


def test_suspects_and_groups_are_quarantined_by_the_gate(
    engine: Engine, url: str, tmp_path: Path
) -> None:
    events = drawn_events()
    fill(engine, events)
    refresher(engine).update()
    with reading(engine) as connection:
        status = dict(
            connection.execute(select(rater_posteriors.c.rater, rater_posteriors.c.status)).all()
        )
        grouped = set(connection.execute(select(rater_groups.c.rater)).scalars())
    suspects = sorted(r for r, s in status.items() if s == "suspect" and r not in grouped)
    benign = sorted(r for r, s in status.items() if s == "benign" and r not in grouped)
    sybils = sorted(r for r in grouped if r.startswith("sybil"))
    assert len(suspects) > 20
    assert len(sybils) > 27
    lowest = int(np.nanargmin(events.p_lie))
    honest = events.responses[events.response[lowest]]
    rows = [
        Row(
            messages=(ChatMessage("user", f"Q of {rater}"), ChatMessage("assistant", "A")),
            provenance=Provenance(source="candor.feedback", response_id=honest, rater=rater),
        )
        for rater in (suspects[0], sybils[0], benign[0])
    ]
    write_rows(tmp_path / "rows.jsonl", rows)
    arguments = ["gate", "check", "rows.jsonl", "--assistant", ASSISTANT, "--json"]
    done = subprocess.run(
        [sys.executable, "-c", GATE, *arguments],
        cwd=tmp_path,
        env={**os.environ, "CANDOR_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    removed = {row["index"]: row["reason"] for row in json.loads(done.stdout)["removed"]}
    # The benign rater's row falls for something else alone: this store holds no texts.
    assert removed == {0: "suspect_rater", 1: "coordination_group", 2: "unverifiable"}, done.stderr


def test_a_fit_is_carried_over_new_events_until_it_takes_a_new_one(engine: Engine) -> None:
    events = drawn_events()
    fill(engine, events)
    refresh = refresher(engine, whole_fit_events=1_000)
    refresh.update()
    with reading(engine) as connection:
        before = rated_events(connection, ASSISTANT)
    new = feedback_rows(drawn_events(1))[:200]
    known = {row.response_id for row in before}
    new = [
        {**row, "feedback_id": f"n{i}", "created_at_s": 1e9 + i}
        for i, row in enumerate(new)
        if row["response_id"] in known
    ]
    add_feedback(engine, new, start=50_000, now_s=NOW_S)
    refresh.update()
    with reading(engine) as connection:
        first, second = connection.execute(select(cohort_estimates.c.record)).scalars().all()
        added = [row for row in rated_events(connection, ASSISTANT) if row.created_at_s >= 1e9]
    record = json.loads(second)
    assert record["carried"] == sum(row.p_lie is not None for row in added) > 100
    _, carry = estimate_and_carry(
        EventTable.from_events(RatedEvent(**msgspec.structs.asdict(row)) for row in before),
        options=CohortOptions(),
    )
    assert carry is not None
    expected = carry().refresh([RatedEvent(**msgspec.structs.asdict(row)) for row in added])
    assert record["biased_fraction"] == msgspec.to_builtins(expected.biased_fraction)
    assert record["biased_fraction"] != json.loads(first)["biased_fraction"]
    with reading(engine) as connection:
        stored = dict(
            connection.execute(select(rater_posteriors.c.rater, rater_posteriors.c.p_biased)).all()
        )
    touched = {r: p for r, p in expected.p_biased.items() if r in stored}
    assert touched == {r: stored[r] for r in touched}
    with engine.begin() as connection:
        forget(
            connection,
            rater=before[0].rater,
            user_id="x",
            decrypt=lambda body: body,
            input_topics=(),
            by="ana",
            at_s=NOW_S,
        )
    refresh.update()
    with reading(engine) as connection:
        last = connection.execute(select(cohort_estimates.c.record)).scalars().all()[-1]
        raters = set(connection.execute(select(rater_posteriors.c.rater)).scalars())
    assert json.loads(last)["carried"] == 0, "what was taken in is no longer stored: fitted anew"
    assert before[0].rater not in raters


def test_a_forgotten_rater_leaves_groups_and_cohort(engine: Engine) -> None:
    fill(engine, drawn_events())
    refresher(engine).update()
    with reading(engine) as connection:
        sybil = connection.execute(select(rater_groups.c.rater)).scalars().first()
    assert sybil is not None
    with engine.begin() as connection:
        changed = forget(
            connection,
            rater=sybil,
            user_id="x",
            decrypt=lambda body: body,
            input_topics=(),
            by="ana",
            at_s=NOW_S,
        )
        assert changed["rater_groups"] == 1
        assert changed["cohort_estimates"] >= 1
        assert sybil not in set(connection.execute(select(rater_groups.c.rater)).scalars())
        record = connection.execute(select(cohort_estimates.c.record)).scalars().first()
        assert record is not None
        assert sybil not in record


def closed_alarms(engine: Engine, at_s: float) -> set[str]:
    """Close every population alarm as a person does; their metrics."""
    with engine.begin() as connection:
        of_raters = alarms.c.subject == AlarmSubject.POPULATION.value
        connection.execute(
            update(alarms).where(of_raters).values(state=AlarmState.CLOSED.value, changed_at_s=at_s)
        )
        return set(connection.execute(select(alarms.c.metric).where(of_raters)).scalars())


def renamed(events: EventTable, name: str) -> list[dict[str, Any]]:
    rows = feedback_rows(events)
    return [{**row, "feedback_id": f"{name}{i}"} for i, row in enumerate(rows)]


def test_a_closed_alarm_stays_closed_until_newer_feedback_speaks_for_it(engine: Engine) -> None:
    now_s = NOW_S
    events = drawn_events()
    fill(engine, events, now_s=now_s)
    refresh = CohortRefresh(engine, options=CohortOptions(), owner="w", clock=lambda: now_s)
    first = refresh.update()
    assert closed_alarms(engine, now_s + 10.0) == {alarm.metric for alarm in first}
    assert "biased_raters" in {alarm.metric for alarm in first}
    for k in range(3):
        now_s += 60.0
        one = {**renamed(events, f"later{k}-")[0], "created_at_s": now_s}
        add_feedback(engine, [one], start=50_000 + k, now_s=now_s)
        assert refresh.update() == []
    now_s += 60.0
    add_feedback(engine, renamed(events, "again"), start=60_000, now_s=now_s)
    again = refresh.update()
    assert {alarm.metric for alarm in again} == {alarm.metric for alarm in first}
    assert not {alarm.alarm_id for alarm in again} & {alarm.alarm_id for alarm in first}


def test_responses_without_feedback_are_none_of_its_business(engine: Engine) -> None:
    add_responses(engine, [("r1", "u", 0.1, 0.0)])
    assert refresher(engine).update() == []
