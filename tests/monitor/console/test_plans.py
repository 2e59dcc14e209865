"""No page goes through a table that grows with traffic: every statement that a page runs is explained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from monitor.store import open_store, reading, upgrade
from monitor.store.schema import (
    feedback,
    findings,
    gate_rows,
    responses,
    verdict_log,
    verdicts,
)
from tests.monitor.console.conftest import Site
from tests.monitor.console.story import tell
from tests.postgres import empty_postgres, postgres_server

__all__ = ["empty_postgres", "postgres_server"]

HISTORY = {
    table.name
    for table in (
        feedback,
        findings,
        gate_rows,
        responses,
        verdict_log,
        verdicts,
    )
}
WAITING = {"ix_feedback_parked", "ix_responses_awaits_verdict"}
"""Indexes of what waits, which is small."""
NEWEST_FIRST = {
    "ix_responses_live_traffic",
    "ix_responses_sampled",
    "ix_verdicts_scored_at_s_key",
    "ix_verdicts_live",
}
"""Indexes that are read from one end, to the limit of the statement."""
PAGES = (
    "/",
    "/?assistant=shop&stratum=shop/other/normal&range=90d",
    "/alarms",
    "/alarms?assistant=shop&state=open",
    "/alarms/a1",
    "/verdicts",
    "/verdicts?assistant=shop&kind=lie",
    "/verdicts?assistant=shop&model=m-2",
    "/verdicts?stratum=shop/other/normal",
    "/verdicts?assistant=shop&text=water",
    "/verdicts/export.jsonl?assistant=shop",
    "/verdicts/k108",
    "/responses/shop/r108",
    "/review?assistant=shop",
    "/review?queue=gate",
    "/review?queue=escalated",
    "/review?queue=second",
    "/retrain",
    "/retrain?assistant=shop",
    "/raters?assistant=shop",
    "/sensors",
    "/verdicts?assistant=shop&probe=judge&ended=unreadable",
    "/review?queue=calibration&assistant=shop",
    "/retrain/runs/run-1?differing=1",
    "/retrain/runs/run-1/items/0",
    "/neutral?assistant=shop",
    "/redteam?assistant=shop",
    "/system",
)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Both databases: the same statements go by other plans."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/candor.db"
    else:
        url = request.getfixturevalue("empty_postgres")
        upgrade(url)
    opened = open_store(url)
    yield opened
    opened.dispose()


def test_no_statement_of_a_page_goes_through_history(site: Site) -> None:
    tell(site)
    ada = site.signed_in(person="Ada")
    ran: dict[str, tuple[str, Any]] = {}

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            ran[statement] = path, parameters

    event.listen(site.engine, "before_cursor_execute", note)
    for path in PAGES:
        assert ada.get(path).status_code in {200, 303}, path
    event.remove(site.engine, "before_cursor_execute", note)
    assert len(ran) > len(PAGES), "statements are seen"
    goes_through = _sqlite if site.engine.dialect.name == "sqlite" else _postgres
    with reading(site.engine) as connection:
        found = [
            (path, statement, step)
            for statement, (path, parameters) in ran.items()
            for step in goes_through(connection, statement, parameters)
        ]
    assert found == []


def _sqlite(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """Steps of the plan that read all of a table that grows with traffic."""
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
    plan = [row[3] for row in rows]
    return [
        step
        for step in plan
        if step.startswith("SCAN ")
        and step.split()[1] in HISTORY
        and not WAITING & set(step.split())
        and not (NEWEST_FIRST & set(step.split()) and "LIMIT" in statement)
    ]


def _postgres(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """Tables that are read in full although every index may be used: on a small store that is else cheapest."""
    for other in ("seqscan", "hashjoin", "mergejoin"):
        connection.exec_driver_sql(f"SET LOCAL enable_{other} = off")
    rows = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
    whole = WAITING | (NEWEST_FIRST if "LIMIT" in statement else set())
    return [
        f"{node['Node Type']} on {node['Relation Name']}"
        for node in _nodes(rows.scalar_one()[0]["Plan"])
        if node.get("Relation Name") in HISTORY
        and "Index Cond" not in node
        and node["Node Type"] != "Bitmap Heap Scan"
        and node.get("Index Name") not in whole
    ]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)
