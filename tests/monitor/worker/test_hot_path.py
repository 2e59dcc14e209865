"""No query of the running service grows with history, told by both databases' own accounts of their work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, func, insert, select, text

from monitor.api.state import StateReader
from monitor.jobs.canaries import CanarySender
from monitor.jobs.evaluators import EvaluatorWatch
from monitor.jobs.publisher import Pruning, Publisher
from monitor.sample.options import SamplingOptions
from monitor.store import cohorts, reading
from monitor.store.outbox import VERDICTS_TOPIC
from monitor.store.schema import (
    dead_letters,
    duplicates,
    extra_evaluations,
    feedback,
    outbox,
    responses,
    verdict_log,
    verdicts,
)
from monitor.telemetry.options import TelemetryOptions
from tests.monitor.worker.conftest import House

HISTORY = (
    dead_letters,
    duplicates,
    extra_evaluations,
    feedback,
    outbox,
    responses,
    verdict_log,
    verdicts,
)
"""What grows with traffic; tables that grow with people's acts, or are as many as strata, do not count."""

SMALL = {
    "ix_feedback_parked",
    "ix_outbox_unpublished",
    "ix_responses_awaits_verdict",
    "ix_responses_live_traffic",
    "ix_responses_sampled",
    "ix_verdicts_live",
}
"""Indexes of what waits, which is small, and of what is read from its newest end with a limit."""

OLD = 20_000
AGO_S = 200 * 86_400.0

Statement = tuple[str, Any]


@pytest.fixture
def house(either_house: House) -> House:
    return either_house


@contextmanager
def collected(engine: Engine) -> Iterator[dict[str, Statement]]:
    """Every distinct statement with the parameters that it came with last."""
    found: dict[str, Statement] = {}

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _x: Any, many: bool) -> None:
        # Inserted values ask nothing.
        asks = statement.split(maxsplit=1)[0].upper() in {"SELECT", "UPDATE", "DELETE", "WITH"}
        if asks or (statement.startswith("INSERT") and " SELECT " in statement):
            first = parameters[0] if many and isinstance(parameters, list) else parameters
            found[statement] = (statement, first)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def live(house: House, kit: Any) -> dict[str, Statement]:
    """What a worker, its jobs and the service ask while records of all kinds come in."""
    house.set(sampling=SamplingOptions(arrival_rate=0.5, feedback_rate=0.9))
    worker = house.worker()
    topics = (kit.RESPONSES, kit.FEEDBACK)
    publisher = Publisher(
        house.engine, kit.MemorySink(house.broker), input_topics=topics, owner="w1",
        clock=lambda: house.now_s,
    )  # fmt: skip
    options = house.settings.health
    watch = EvaluatorWatch(house.engine, options=options, owner="w1", clock=lambda: house.now_s)
    canaries = CanarySender(
        house.engine,
        options=options,
        topic=topics[0],
        key=house.keys.pseudonym,
        owner="w1",
        clock=lambda: house.now_s,
    )
    pruning = Pruning(
        house.engine,
        input_topics=topics,
        results_kept_s=3600.0,
        owner="w1",
        clock=lambda: house.now_s,
    )
    state = StateReader(house.engine, TelemetryOptions(), clock=lambda: house.now_s)
    with collected(house.engine) as found:
        watch.begin(house.scorer.version)
        for start in (0, 40):
            for i in range(start, start + 40):
                house.broker.produce(topics[0], kit.response(i), f"c{i}")
                house.broker.produce(topics[1], kit.feedback(i + 20), f"c{i}")
            for junk in (b"junk", kit.response(1), kit.response(2, model="m9")):
                house.broker.produce(topics[0], junk, "c1")
            for _ in range(40):
                worker.step()
                house.now_s += 0.5
            publisher.update()
            canaries.update()
            watch.update()
            pruning.update()
            state()
            with reading(house.engine) as connection:
                cohorts.rated_assistants(connection)
                cohorts.rated_events(connection, "helper", since_s=house.now_s - 60.0)
    return found


def grow(engine: Engine, house: House, *, start: int) -> None:
    """Old, settled history: nothing of it waits for anything."""
    at_s = house.now_s - AGO_S
    numbers = range(start, start + OLD)
    place = {"cluster_id": "old", "partition": 0}
    shared = {
        "assistant": "helper", "stratum": "helper/other/normal", "segment": "other",
        "stakes": "normal", "model": "m1", "created_at_s": at_s,
    }  # fmt: skip
    with engine.begin() as connection:
        for table, row in (
            (responses, lambda i: shared | place | {
                "response_id": f"old{i}", "conversation_id": "c", "rater": f"{i % 7:032}",
                "received_at_s": at_s, "u": 0.99, "pi_arrival": 0.5, "pi_feedback": 0.9,
                "sampled_by": "arrival" if i % 4 == 0 else "feedback" if i % 4 == 1 else None,
                "skip_reason": "rate" if i % 4 > 1 else None, "topic": "r", "offset": i,
                "body": b"{}" if i % 4 < 2 else None,
            }),
            (feedback, lambda i: place | {
                "assistant": "helper", "feedback_id": f"old{i}", "response_id": f"old{i}",
                "rater": f"{i % 7:032}", "created_at_s": at_s, "received_at_s": at_s,
                "value": 1.0, "kind": "thumb", "state": "matched", "topic": "f", "offset": i,
            }),
            (verdicts, lambda i: shared | {
                "key": f"old{i}", "response_id": f"old{i}", "purpose": "live", "repeat": 0,
                "live_slot": f"helper/old{i}", "kind": "honest", "p_lie": 0.1, "record": "{}",
                "sampled_by": "arrival", "inclusion_probability": 0.5,
                "evaluator_version": "hash-1", "scored_at_s": at_s,
            }),
            (verdict_log, lambda i: {
                "id": -i - 1, "stratum": "helper/other/normal", "verdict_key": f"old{i}",
            }),
            (duplicates, lambda i: place | {"topic": "r", "offset": i, "received_at_s": at_s}),
            (dead_letters, lambda i: place | {
                "topic": "r", "offset": i, "received_at_s": at_s, "reason": "x", "detail": "x",
            }),
            (outbox, lambda i: {
                "topic": VERDICTS_TOPIC, "value": b"v", "created_at_s": house.now_s - 5.0,
                "published_cluster_id": "old", "published_partition": 0, "published_offset": i,
            }),
            (extra_evaluations, lambda i: {
                "purpose": "repeat", "assistant": "helper", "response_id": f"old{i}",
                "evaluator_version": "hash-1", "asked_at_s": house.now_s, "due_at_s": at_s,
                "counted": True,
            }),
        ):  # fmt: skip
            connection.execute(insert(table), [row(i) for i in numbers])
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def test_no_hot_query_grows_with_history(house: House, kit: Any) -> None:
    statements = live(house, kit)
    assert len(statements) > 50
    work = sqlite_work if house.engine.dialect.name == "sqlite" else postgres_work
    grow(house.engine, house, start=0)
    few = {name: work(house.engine, statement) for name, statement in statements.items()}
    grow(house.engine, house, start=OLD)
    many = {name: work(house.engine, statement) for name, statement in statements.items()}
    grown = {
        name: (few[name], many[name]) for name in statements if many[name] > 1.5 * few[name] + 300
    }
    assert grown == {}
    large = {name: n for name, n in many.items() if n > OLD / 10}
    assert large == {}, "each does less work than a tenth of the history"


def test_no_hot_query_scans_a_table_of_history(house: House, kit: Any) -> None:
    statements = live(house, kit)
    grow(house.engine, house, start=0)
    scans = sqlite_scans if house.engine.dialect.name == "sqlite" else postgres_scans
    found = {name: scans(house.engine, statement) for name, statement in statements.items()}
    assert {name: scanned for name, scanned in found.items() if scanned} == {}


def test_the_account_tells_a_query_that_grows(house: House, kit: Any) -> None:
    """The test's own teeth: a scan, and a search whose condition most rows meet."""
    live(house, kit)
    grow(house.engine, house, start=0)
    work = sqlite_work if house.engine.dialect.name == "sqlite" else postgres_work
    scans = sqlite_scans if house.engine.dialect.name == "sqlite" else postgres_scans
    with collected(house.engine) as found, reading(house.engine) as connection:
        connection.execute(select(func.count(responses.c.model))).all()
        connection.execute(select(func.max(verdicts.c.p_lie)).where(verdicts.c.kind == "honest"))
    whole, search = found.values()
    assert work(house.engine, whole) > OLD / 5
    assert work(house.engine, search) > OLD / 5
    assert scans(house.engine, whole)


def _undone(engine: Engine, act: Callable[[Connection], Any]) -> Any:
    with engine.connect() as connection:
        try:
            return act(connection)
        finally:
            connection.rollback()


def sqlite_work(engine: Engine, statement: Statement) -> int:
    """Steps of SQLite's virtual machine, in tens."""
    sql, parameters = statement

    def act(connection: Connection) -> int:
        steps = [0]

        def step() -> None:
            steps[0] += 1

        raw = connection.connection.driver_connection
        assert raw is not None
        connection.exec_driver_sql("SELECT 1")
        raw.set_progress_handler(step, 10)
        try:
            found = connection.exec_driver_sql(sql, parameters)
            if found.returns_rows:
                found.all()
        finally:
            raw.set_progress_handler(None, 0)
        return steps[0]

    return int(_undone(engine, act))


def sqlite_scans(engine: Engine, statement: Statement) -> list[str]:
    sql, parameters = statement
    plan = _undone(
        engine,
        lambda c: c.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).all(),
    )
    names = {table.name for table in HISTORY}
    return [
        row[-1]
        for row in plan
        if row[-1].startswith("SCAN ")
        and row[-1].split()[1] in names
        and not SMALL & set(row[-1].split())
    ]


def _explained(engine: Engine, statement: Statement) -> list[dict[str, Any]]:
    """Every node of the plan of a statement that is run and undone."""
    sql, parameters = statement
    plan = _undone(
        engine,
        lambda c: c.exec_driver_sql(
            f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", parameters
        ).scalar_one(),
    )
    (top,) = plan if isinstance(plan, list) else json.loads(plan)
    nodes, left = [], [top["Plan"]]
    while left:
        node = left.pop()
        nodes.append(node)
        limited = node.get("limited") or node["Node Type"] == "Limit"
        left += [{**below, "limited": limited} for below in node.get("Plans", [])]
    return nodes


def postgres_work(engine: Engine, statement: Statement) -> int:
    """Rows that were read or looked at and passed over."""
    looked_at = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    return int(
        sum(
            node.get(name, 0) * node["Actual Loops"]
            for node in _explained(engine, statement)
            for name in looked_at
        )
    )


def postgres_scans(engine: Engine, statement: Statement) -> list[str]:
    names = {table.name for table in HISTORY}
    return [
        f"{node['Node Type']} of {node.get('Relation Name')} by {node.get('Index Name')}"
        for node in _explained(engine, statement)
        if node.get("Relation Name") in names
        and "Scan" in node["Node Type"]
        and "Index Cond" not in node
        and node.get("Index Name") not in SMALL
        and node["Node Type"] != "Bitmap Heap Scan"
        # From the end of an index up to a limit, such as the newest.
        and not (node["limited"] and "Index Name" in node)
    ]
