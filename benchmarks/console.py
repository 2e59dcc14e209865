"""Every page of the console over a large store: time to answer, by the clock and by processor, and weight.

`python -m benchmarks.console --verdicts 1000000` fills a new SQLite file first, `--database pgserver` a PostgreSQL of
its own, and `--database URL` an empty store; `--keep FILE` keeps the SQLite file, and is measured as it is when it
exists. Requests go round the pages, so that what is read anew once in a while falls on all of them alike. Of
PostgreSQL the server's own processor time is not in the figures; its answer is in those by the clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event, select

from benchmarks.console_store import fill, newest_keys
from benchmarks.intake import database
from monitor import console
from monitor.api.state import StateReader
from monitor.cli.serving import console_context, open_access, shown_by_pages
from monitor.http.options import ApiOptions
from monitor.settings import Settings
from monitor.store import open_store, upgrade
from monitor.store.schema import gate_decisions, neutral_prompts, verdicts
from monitor.telemetry import Cached

LIMIT_MS = 300.0


def pages_of(engine: Engine) -> list[str]:
    """The pages that are asked for, those of one record by what the store holds."""
    (key, assistant, response_id), *_ = newest_keys(engine, 1)
    with engine.connect() as connection:
        decision = connection.execute(select(gate_decisions.c.decision_id).limit(1)).scalar_one()
        prompt = connection.execute(select(neutral_prompts.c.key).limit(1)).scalar_one()
    views = (
        "",
        "?range=24h",
        "?assistant=shop",
        "?assistant=shop&range=24h",
        "?range=30d",
        "?range=90d",
    )
    lists = ("", "?assistant=shop", "?assistant=shop&kind=lie", "?model=shop-3&assistant=shop",
             "?stratum=shop/other/normal", "?assistant=shop&text=question 9", "?text=zebra",
             "?assistant=shop&probe=judge&ended=unreadable")  # fmt: skip
    return [
        *(f"/{view}" for view in views), "/alarms", "/alarms?assistant=shop", "/alarms/alarm-0",
        *(f"/verdicts{query}" for query in lists), f"/verdicts/{key}",
        f"/responses/{assistant}/{response_id}",
        "/review?assistant=shop", "/review?queue=escalated", "/review?queue=gate",
        "/review?queue=second", "/review?queue=calibration",
        "/retrain", "/retrain?assistant=shop", f"/retrain/{decision}", "/retrain/runs/run-0",
        "/retrain/runs/run-0/items/3", "/raters?assistant=shop", "/raters?assistant=shop&range=90d",
        "/sensors", "/neutral?assistant=shop", f"/neutral/shop/{prompt}", "/redteam?assistant=shop",
        "/system",
    ]  # fmt: skip


def measured(engine: Engine, requests: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Times of each page in milliseconds: its first request, and the quantiles of the following ones."""
    client, pages = _client(engine), pages_of(engine)
    first = {page: _asked(client, page) for page in pages}
    taken: dict[str, list[tuple[float, float, int]]] = {page: [] for page in pages}
    for number in range(requests):
        for page in pages:
            taken[page].append(_asked(client, page))
        say(f"round {number + 1} of {requests}")
    rows = []
    for page in pages:
        wall, busy = ([one[i] for one in taken[page]] for i in (0, 1))
        rows.append(
            {
                "page": page,
                "first_ms": round(first[page][0]), "first_cpu_ms": round(first[page][1]),
                "p50_ms": round(statistics.median(wall)), "p95_ms": round(_p95(wall)),
                "p50_cpu_ms": round(statistics.median(busy)), "p95_cpu_ms": round(_p95(busy)),
                "bytes": max(one[2] for one in taken[page]),
            }
        )  # fmt: skip
    return rows


def _client(engine: Engine) -> TestClient:
    """The console alone, over a state that is kept as the server keeps it."""
    settings = Settings(api=ApiOptions(open_on_loopback=True))
    with engine.connect() as connection:
        query = select(verdicts.c.scored_at_s).order_by(verdicts.c.scored_at_s.desc()).limit(1)
        newest_s = float(connection.execute(query).scalar_one())
    # Months may have passed since the file was made: the newest verdict was always made just now.
    behind_s = time.time() - newest_s

    def clock() -> float:
        return time.time() - behind_s

    reader = StateReader(engine, settings.telemetry, clock=clock)
    state = Cached(reader, clock=time.monotonic, max_age_s=settings.telemetry.max_age_s)
    access = open_access(settings)
    app = FastAPI()
    app.include_router(
        console.router(
            console_context(settings, engine, access, shown_by_pages(state, settings), clock=clock)
        )
    )
    client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
    signed = client.post("/sign-in", data={"person": "Ada"})
    if signed.status_code != 303:
        raise SystemExit(f"signing in: {signed.status_code}")
    return client


def _asked(client: TestClient, page: str) -> tuple[float, float, int]:
    """Milliseconds by the clock and of this process, and bytes."""
    began, busy = time.perf_counter(), time.process_time()
    answer = client.get(page)
    taken = 1e3 * (time.perf_counter() - began), 1e3 * (time.process_time() - busy)
    if answer.status_code not in {200, 303}:
        raise SystemExit(f"{page}: {answer.status_code} {answer.text[:500]}")
    return *taken, len(answer.content)


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def _prepared(url: str, count: int, say: Callable[[str], None]) -> Engine:
    """The store, filled where it is empty."""
    upgrade(url)
    engine = open_store(url)
    with engine.connect() as connection:
        if connection.execute(select(verdicts.c.key).limit(1)).first() is not None:
            return engine
    if engine.dialect.name == "sqlite":
        pragmas = ("synchronous = OFF", "cache_size = -1000000")
        event.listen(
            engine, "connect", lambda c, _: [c.execute(f"PRAGMA {pragma}") for pragma in pragmas]
        )
        engine.dispose()
    fill(engine, count, time.time(), say)
    engine.dispose()
    return open_store(url)


def main() -> None:
    """Print a table, and the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verdicts", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--database")
    parser.add_argument("--keep", type=Path, help="the SQLite file, made where it is not there")
    asked = parser.parse_args()

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    where = asked.database or (f"sqlite:///{asked.keep}" if asked.keep else None)
    with tempfile.TemporaryDirectory() as name, database(where, Path(name)) as url:
        engine = _prepared(url, asked.verdicts, say)
        rows = measured(engine, asked.requests, say)
        engine.dispose()
    for row in rows:
        mark = "  over" if row["p95_ms"] > LIMIT_MS else ""
        print(
            f"{row['page']:<64} p50 {row['p50_ms']:>5} p95 {row['p95_ms']:>5} ms, processor"
            f" {row['p50_cpu_ms']:>4} {row['p95_cpu_ms']:>4}, first {row['first_ms']:>6},"
            f" {row['bytes'] / 1000:.0f} kB{mark}"
        )
    print(json.dumps({"verdicts": asked.verdicts, "pages": rows}))


if __name__ == "__main__":
    main()
