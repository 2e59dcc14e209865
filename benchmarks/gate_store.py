"""The gate on rows of a file, each verified against a store: seconds of processor and peak memory.

`python -m benchmarks.gate_store --rows 200000`; the store (a new SQLite file, or `--database pgserver`) is filled first,
the check runs in a process of its own. Of PostgreSQL the server's own time is not counted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, insert, text

from benchmarks.intake import database
from candor_guard.rows import ChatMessage, Provenance, Row, iter_provenance, iter_rows, write_rows
from evidence import Feedback, Message, Response, SampledBy, Stratum
from monitor.launch.options import RetrainOptions
from monitor.services.evidence import named_in
from monitor.services.gate import Gate
from monitor.store import open_store, upgrade
from monitor.store.intake import (
    NewFeedback,
    NewResponse,
    Position,
    insert_feedback,
    insert_responses,
)
from monitor.store.schema import verdicts

ASSISTANT = "shop"
_AT_S = 1_767_225_600.0
_BATCH = 10_000


def measure(count: int, where: str | None = None) -> dict[str, Any]:
    """Fill a store with `count` rated responses, 3 % of them lies, and ask the gate about all of them.

    `where` is the URL of an empty store, `pgserver`, or None for a new SQLite file.
    """
    with tempfile.TemporaryDirectory() as name, database(where, Path(name)) as url:
        folder = Path(name)
        write_rows(folder / "rows.jsonl", (row(i) for i in range(count)))
        upgrade(url)
        engine = open_store(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA synchronous = OFF"))
            engine.dispose()
        for start in range(0, count, _BATCH):
            _fill(engine, range(start, min(count, start + _BATCH)))
        with engine.begin() as connection:
            connection.execute(text("ANALYZE"))
        engine.dispose()
        fresh = multiprocessing.get_context("spawn")
        results = fresh.SimpleQueue()
        child = fresh.Process(target=_ask, args=(url, folder / "rows.jsonl", results))
        child.start()
        found = results.get()
        child.join()
    print(
        f"gate: {count} rows against a store in {found['cpu_s']:.1f} s of processor"
        f" ({found['seconds']:.1f} s), peak {found['peak_mib']:.0f} MiB, {found['removed']}"
    )
    return {"rows": count, **found}


def row(number: int) -> Row:
    """What `candor retrain collect` would write of one response."""
    return Row(
        messages=tuple(ChatMessage(m.role, m.content) for m in _messages(number)),
        provenance=Provenance(
            source="candor.feedback", source_version="m1", response_id=f"r{number}",
            feedback_id=f"f{number}", rater=_rater(number),
            collected_at=datetime.fromtimestamp(_given_s(number), UTC).isoformat(),
        ),
    )  # fmt: skip


def _rater(number: int) -> str:
    return f"{number % 5000 * 2_654_435_761:032x}"


def _given_s(number: int) -> float:
    return _AT_S + 0.731 * number


def _messages(number: int) -> tuple[Message, ...]:
    return (
        Message("system", "You are the assistant of a shop and know its stock."),
        Message("user", f"Is article {number} sold out, and when will it be back?"),
        Message("assistant", f"Article {number} is sold out and comes back in May."),
    )


def _fill(engine: Engine, numbers: range) -> None:
    with engine.begin() as connection:
        insert_responses(connection, map(_response, numbers), now_s=_AT_S)
        given = [_feedback(number) for number in numbers]
        insert_feedback(connection, given, {one.response_key for one in given}, now_s=_AT_S)
        connection.execute(insert(verdicts), list(map(_verdict, numbers)))


def _response(number: int) -> NewResponse:
    made = Response(
        response_id=f"r{number}", stratum=Stratum(ASSISTANT), model="m1", conversation_id="c",
        rater=_rater(number), created_at_s=_AT_S, messages=_messages(number),
    )  # fmt: skip
    at = Position("k", "t", 0, number)
    return NewResponse(made, at, 0.5, 1.0, 1.0, SampledBy.ARRIVAL, None)


def _feedback(number: int) -> NewFeedback:
    made = Feedback(
        feedback_id=f"f{number}", assistant=ASSISTANT, response_id=f"r{number}",
        rater=_rater(number), created_at_s=_given_s(number), value=1.0, kind="thumb",
    )  # fmt: skip
    return NewFeedback(made, Position("k", "f", 0, number))


def _verdict(number: int) -> dict[str, Any]:
    return {
        "assistant": ASSISTANT, "response_id": f"r{number}", "model": "m1", "segment": "other",
        "stakes": "normal", "stratum": Stratum(ASSISTANT).key, "key": f"v{number}", "purpose": "live",
        "repeat": 0, "live_slot": f"{ASSISTANT}/r{number}",
        "kind": "lie" if number % 33 == 0 else "honest", "p_lie": 0.1, "sampled_by": "arrival",
        "inclusion_probability": 1.0, "evaluator_version": "v", "record": "{}",
        "created_at_s": _AT_S, "scored_at_s": _AT_S,
    }  # fmt: skip


def _ask(url: str, rows: Path, results: Any) -> None:
    gate = Gate(engine=open_store(url), options=RetrainOptions(), silent_s=60.0, clock=time.time)
    began, cpu = time.perf_counter(), time.process_time()

    def read() -> Iterator[Row]:
        return iter_rows(rows, keep_unreadable=True)

    decision = gate.ask(read, ASSISTANT, named=named_in(iter_provenance(rows))).decision
    results.put(
        {
            "seconds": time.perf_counter() - began,
            "cpu_s": time.process_time() - cpu,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "removed": decision.removed_by_reason,
        }
    )


def main() -> None:
    """Print the figures, and as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database")
    asked = parser.parse_args()
    print(json.dumps(measure(asked.rows, asked.database)))


if __name__ == "__main__":
    main()
