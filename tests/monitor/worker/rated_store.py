"""A store filled as workers fill it: rated responses with live verdicts, in the canonical log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Engine, func, insert, select

from evidence import Purpose, SampledBy, VerdictKind
from monitor.cohorts.events import EventTable
from monitor.store.rated import recount
from monitor.store.schema import feedback, responses, verdict_log, verdicts

ASSISTANT = "shop"
_AT = {"cluster_id": "k", "topic": "t", "partition": 0}


def add_responses(
    engine: Engine,
    served: Iterable[tuple[str, str, float | None, float]],
    *,
    segment: str = "other",
    now_s: float = 1.0,
) -> None:
    """Responses (id, rater who asked, p_lie or None where unmeasured, created_at_s), in this order."""
    stratum = f"{ASSISTANT}/{segment}/normal"
    shared = {"assistant": ASSISTANT, "stratum": stratum, "segment": segment, "stakes": "normal"}
    made, judged, logged = [], [], []
    with engine.begin() as connection:
        first = int(connection.execute(select(func.count()).select_from(responses)).scalar_one())
        for i, (response_id, rater, p_lie, created_at_s) in enumerate(served):
            both = {**shared, "response_id": response_id, "model": "m"}
            made.append(
                {
                    **both,
                    **_AT,
                    "conversation_id": "c",
                    "rater": rater,
                    "created_at_s": created_at_s,
                    "received_at_s": now_s,
                    "u": 0.5,
                    "pi_arrival": 1.0,
                    "pi_feedback": 1.0,
                    "sampled_by": SampledBy.ARRIVAL.value,
                    "offset": first + i,
                }
            )
            if p_lie is None:
                continue
            kind = VerdictKind.LIE if p_lie > 0.5 else VerdictKind.HONEST
            judged.append(
                {
                    **both,
                    "key": f"v-{response_id}",
                    "purpose": Purpose.LIVE.value,
                    "repeat": 0,
                    "live_slot": f"{ASSISTANT}/{response_id}",
                    "kind": kind.value,
                    "p_lie": p_lie,
                    "sampled_by": SampledBy.ARRIVAL.value,
                    "inclusion_probability": 1.0,
                    "evaluator_version": "e",
                    "record": "{}",
                    "created_at_s": created_at_s,
                    "scored_at_s": now_s,
                }
            )
            logged.append({"stratum": stratum, "verdict_key": f"v-{response_id}"})
        for table, rows in ((responses, made), (verdicts, judged), (verdict_log, logged)):
            if rows:
                connection.execute(insert(table), rows)


def add_feedback(
    engine: Engine, rows: Sequence[dict[str, Any]], *, start: int = 0, now_s: float = 1.0
) -> None:
    """Matched feedback: rows of `feedback_rows`."""
    with engine.begin() as connection:
        connection.execute(
            insert(feedback),
            [
                {
                    "assistant": ASSISTANT,
                    "received_at_s": now_s,
                    "kind": "thumb",
                    "state": "matched",
                    "offset": start + i,
                    **_AT,
                    **row,
                }
                for i, row in enumerate(rows)
            ],
        )
        recount(connection, [ASSISTANT])


def fill(engine: Engine, events: EventTable, *, now_s: float = 1.0) -> None:
    """Every response of the table, by topic, and every event."""
    for code, topic in enumerate(events.topics):
        of_topic = np.flatnonzero(events.topic == code)
        _, first = np.unique(events.response[of_topic], return_index=True)
        add_responses(
            engine,
            (
                (
                    events.responses[events.response[i]],
                    "asker",
                    None if np.isnan(events.p_lie[i]) else float(events.p_lie[i]),
                    0.0,
                )
                for i in of_topic[first]
            ),
            segment=topic or "other",
            now_s=now_s,
        )
    add_feedback(engine, feedback_rows(events), now_s=now_s)


def feedback_rows(events: EventTable) -> list[dict[str, Any]]:
    return [
        {
            "feedback_id": f"f{i:06d}",
            "response_id": events.responses[events.response[i]],
            "rater": events.raters[events.rater[i]],
            "created_at_s": float(events.created_at_s[i]),
            "value": float(events.value[i]),
        }
        for i in range(len(events))
    ]
