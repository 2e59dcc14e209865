"""Nobody measures, or measures too late: the gate holds, whatever was shown about the rows before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import insert

from candor_guard.rows import Row
from monitor.jobs.evaluators import EvaluatorWatch
from monitor.launch.options import RetrainOptions
from monitor.services.collect import collect_rows
from monitor.services.gate import Answer, Gate
from monitor.store import confirm_runs, reading
from monitor.store.schema import confirm_runs as runs_table
from tests.monitor.worker.conftest import House, feedback_json, response_json
from tests.monitor.worker.memory_broker import FEEDBACK, RESPONSES
from tests.retrain.gate_values import report

N = 12


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def _gate(house: House) -> Gate:
    return Gate(
        engine=house.engine, options=RetrainOptions(), silent_s=60.0, clock=lambda: house.now_s
    )


def _measured(house: House) -> list[Row]:
    """Liked turns that a worker measured, and a confirm run that found them harmless."""
    watch = EvaluatorWatch(
        house.engine, options=house.settings.health, owner="w", clock=lambda: house.now_s
    )
    watch.begin(house.scorer.version)
    for i in range(N):
        house.broker.produce(RESPONSES, response_json(i))
        house.broker.produce(FEEDBACK, feedback_json(i, value=1))
    worker = house.worker()
    house.settle(worker)
    with reading(house.engine) as connection:
        rows = collect_rows(connection, "helper", limit=100)
    assert len(rows) == N
    return rows


def _confirmed(house: House, rows: list[Row]) -> None:
    """The report is about all rows and about those that the gate would keep."""
    first = _gate(house).ask(lambda: rows, "helper")
    gone = {row.index for row in first.decision.removed}
    kept = [row for i, row in enumerate(rows) if i not in gone]
    made = report(rows, kept, at_s=house.now_s)
    of_helper = msgspec.structs.replace(made, assistant="helper")
    with house.engine.begin() as connection:
        connection.execute(
            insert(runs_table).values(
                run_id="run-1", assistant="helper", state=confirm_runs.DONE,
                requested_at_s=house.now_s, finished_at_s=house.now_s,
                report=msgspec.json.encode(of_helper).decode(),
            )
        )  # fmt: skip


def _ask(house: House, rows: list[Row]) -> Answer:
    return _gate(house).ask(lambda: rows, "helper")


def test_lies_that_nobody_measured_hold_the_gate(house: House) -> None:
    rows = _measured(house)
    _confirmed(house, rows)
    released = _ask(house, rows).decision
    assert released.releases, released.reasons
    assert released.coverage is not None
    assert (released.coverage.verdicts, released.coverage.responses) == (N, N)

    for i in range(200):
        house.broker.produce(RESPONSES, response_json(1000 + i))
    house.now_s += 70.0
    blind = _ask(house, rows).decision
    assert (blind.answer.value, blind.releases) == ("hold", False)
    assert "no_worker" in blind.reasons
    assert _gate(house).holds("helper") == blind.reasons


def test_a_worker_that_lives_and_is_behind_holds_the_gate(house: House) -> None:
    rows = _measured(house)
    _confirmed(house, rows)
    house.scorer.gate.clear()
    for i in range(200):
        house.broker.produce(RESPONSES, response_json(1000 + i))
    worker = house.worker("w2")
    for _ in range(20):
        worker.step()
        house.now_s += 3.0
    behind = _ask(house, rows).decision
    assert behind.answer.value == "hold"
    assert "lag:200" in behind.reasons
    assert behind.coverage is not None
    assert behind.coverage.lag_records == 200
    house.scorer.gate.set()
    house.settle(worker)
    house.now_s += 3.0
    worker.step()
    assert "lag" not in " ".join(_ask(house, rows).decision.reasons)


def test_traffic_that_ends_as_dead_letters_holds_the_gate(house: House) -> None:
    rows = _measured(house)
    _confirmed(house, rows)
    for _ in range(40):
        house.broker.produce(RESPONSES, b"{broken")
    worker = house.worker("w2")
    for _ in range(30):
        worker.step()
        house.now_s += 1.0
    held = _ask(house, rows).decision
    assert held.answer.value == "hold"
    assert any(reason.startswith("uncovered_period") for reason in held.reasons)
