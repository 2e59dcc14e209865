"""The gate over a store: what it reads and locks, and what it says of a store that it cannot trust."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, func, insert, select, text

from evidence import GateAnswer, MisconfiguredError
from monitor.services.evidence import Named, named_by
from monitor.services.gate import Gate
from monitor.store import reading, upgrade
from monitor.store.schema import gate_decisions, verdicts
from retrain.policy import Policy
from tests.monitor.services.gate_doors import ASSISTANT, Doors, row, settled


@pytest.fixture
def doors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    made = Doors(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield made
    made.close()


def _decisions(engine: Engine) -> int:
    with reading(engine) as connection:
        return int(
            connection.execute(select(func.count()).select_from(gate_decisions)).scalar_one()
        )


def test_a_schema_that_changed_while_serving_holds_and_nothing_is_written(doors: Doors) -> None:
    doors.put(settled())
    assert doors.http()["answer"] == "allow"
    with doors.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))
    before = _decisions(doors.engine)
    answer = doors.http()
    assert (answer["answer"], answer["reasons"]) == ("hold", ("schema_of_another_version",))
    assert _decisions(doors.engine) == before
    assert "schema_of_another_version" in doors.holds()


def test_a_store_that_does_not_answer_holds(doors: Doors) -> None:
    gone = create_engine("postgresql+psycopg://127.0.0.1:1/none")
    gate = Gate(engine=gone, options=doors.settings.retrain, silent_s=60.0, clock=time.time)
    doors.put(settled())
    answer = gate.ask(lambda: settled().rows, ASSISTANT)
    assert (answer.decision.answer, answer.decision.reasons) == (
        GateAnswer.HOLD,
        ("store_unreachable",),
    )
    assert not answer.recorded
    assert "store_unreachable" in gate.holds(ASSISTANT)


def test_deciding_waits_for_no_writer(doors: Doors) -> None:
    question = settled()
    doors.put(question)
    with doors.engine.begin() as writing:
        writing.execute(insert(verdicts).values(**_foreign_verdict(0)))
        found = doors.gate.evidence(ASSISTANT, named_by(question.rows), Policy())
    assert len(found.verdicts) == len(question.rows)


def test_only_what_is_asked_about_is_read(doors: Doors) -> None:
    doors.put(settled())
    with doors.engine.begin() as connection:
        connection.execute(insert(verdicts), [_foreign_verdict(i) for i in range(2000)])
    fetched = []

    def count(_c: object, cursor: object, statement: str, *_: object) -> None:
        fetched.append(statement)

    event.listen(doors.engine, "before_cursor_execute", count)
    named = Named(frozenset({"r0", "r1", "unknown"}), frozenset({"u0"}))
    found = doors.gate.evidence(ASSISTANT, named, Policy())
    assert set(found.verdicts) == {"r0", "r1"}
    of_verdicts = [s for s in fetched if "FROM verdicts" in s]
    assert of_verdicts
    assert all("IN (" in s or "LIMIT" in s for s in of_verdicts), of_verdicts


def test_thousands_of_rows_are_looked_up_in_parts(doors: Doors) -> None:
    names = frozenset(f"r{i}" for i in range(40_000))
    found = doors.gate.evidence(ASSISTANT, Named(names, names), Policy())
    assert found.verdicts == {}


@pytest.mark.parametrize("query", ["verdicts", "responses", "dead_letters"])
def test_lookups_use_an_index(doors: Doors, query: str) -> None:
    plans: list[str] = []

    def explain(
        connection: object, cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        if statement.startswith("SELECT") and f"FROM {query}" in statement:
            plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[attr-defined]
            plans.extend(step[-1] for step in plan.fetchall())

    event.listen(doors.engine, "before_cursor_execute", explain)
    doors.gate.evidence(ASSISTANT, named_by([row(0)]), Policy())
    assert plans
    # The names that are asked about are a table themselves, which is read through.
    read_through = [p for p in plans if p.startswith("SCAN") and "USING" not in p]
    assert not [p for p in read_through if "VIRTUAL TABLE" not in p], plans


def test_the_gate_answers_on_postgresql(tmp_path: Path, empty_postgres: str) -> None:
    upgrade(empty_postgres)
    doors = Doors(tmp_path, url=empty_postgres)
    for changed, expected in (({}, "allow"), ({"beats": []}, "hold"), ({"missing": 20}, "hold")):
        doors.put(settled(**changed))
        assert doors.http()["answer"] == expected
    doors.close()


def _foreign_verdict(number: int) -> dict[str, object]:
    return {
        "key": f"k{number}", "assistant": ASSISTANT, "response_id": f"old-{number}",
        "purpose": "live", "repeat": 0, "live_slot": f"{ASSISTANT}/old-{number}", "stratum": "x/y/z",
        "segment": "y", "stakes": "normal", "model": "m", "kind": "honest", "p_lie": 0.1,
        "p_evasion": 0.0, "sampled_by": "arrival", "inclusion_probability": 1.0,
        "evaluator_version": "v0", "record": "{}", "created_at_s": 1.0, "scored_at_s": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize("setting", ["policy", "private"])
def test_a_file_of_the_settings_that_is_gone_is_the_operators_fault(
    doors: Doors, setting: str
) -> None:
    doors.put(settled())
    getattr(doors, setting).unlink()
    with pytest.raises(MisconfiguredError, match=r"retrain\.\w+_file"):
        doors.gate.ask(lambda: settled().rows, ASSISTANT)
    assert doors.asked().status_code >= 500
    assert _decisions(doors.engine) == 0
