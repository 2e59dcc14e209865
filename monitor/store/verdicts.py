"""Verdicts and their canonical log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, func, insert, select

from evidence import Purpose, SampledBy, Verdict, VerdictKind
from evidence.outcomes import encode_outcomes, outcomes
from evidence.records import LoggedVerdict
from monitor.store import tally
from monitor.store.dialect import insert_new, lock_names
from monitor.store.schema import verdict_log, verdicts
from probes.visible import visible_acts

FINAL_PROBABILITY = func.coalesce(verdicts.c.final_probability, verdicts.c.inclusion_probability)
"""With what probability a response was measured, all phases of its sample together."""

LOGGED = (
    verdicts.c.stratum,
    verdicts.c.kind,
    verdicts.c.p_lie,
    verdicts.c.p_evasion,
    verdicts.c.inclusion_probability,
    verdicts.c.model,
    verdicts.c.evaluator_version,
    verdicts.c.scored_at_s,
    verdicts.c.created_at_s,
    verdicts.c.outcomes,
    verdicts.c.acts,
)
"""Columns of a `LoggedVerdict` but its position."""


def logged(row: RowMapping, log_position: int) -> LoggedVerdict:
    """The entry that a row with the columns `LOGGED` is."""
    fields = {column.name: row[column.name] for column in LOGGED}
    return LoggedVerdict(
        log_position=log_position, **{**fields, "kind": VerdictKind(fields["kind"])}
    )


def insert_verdicts(connection: Connection, made: Iterable[Verdict]) -> set[str]:
    """Insert verdicts; returns the keys of those that count.

    The first durable live verdict of a response counts; a later one is dropped, and so is a verdict
    with a known key.
    """
    in_order = sorted(made, key=lambda verdict: verdict.key)
    rows = [_row(verdict) for verdict in in_order]
    new = {key for (key,) in insert_new(connection, verdicts, rows, [verdicts.c.key])}
    # A key may be given twice, and counts once.
    tally.count_new(connection, {v.key: v for v in in_order if v.key in new}.values())
    return new


def append_log(connection: Connection, in_order: Sequence[Verdict]) -> None:
    """Append newly inserted verdicts of one partition in source order; keeps those that move detectors."""
    moving = [
        verdict
        for verdict in in_order
        if verdict.purpose is Purpose.LIVE and verdict.sampled_by is SampledBy.ARRIVAL
    ]
    if not moving:
        return
    lock_names(connection, (verdict.stratum.key for verdict in moving))
    connection.execute(
        insert(verdict_log),
        [{"stratum": verdict.stratum.key, "verdict_key": verdict.key} for verdict in moving],
    )


def read_log(
    connection: Connection, stratum: str, *, after: int, limit: int | None = None
) -> list[LoggedVerdict]:
    """The log of a stratum after a position, in order."""
    query = (
        select(verdict_log.c.id, *LOGGED)
        .join(verdicts, verdicts.c.key == verdict_log.c.verdict_key)
        .where(verdict_log.c.stratum == stratum, verdict_log.c.id > after)
        .order_by(verdict_log.c.id)
        .limit(limit)
    )
    return [logged(row, row["id"]) for row in connection.execute(query).mappings()]


def live_slot(assistant: str, response_id: str) -> str:
    """The unique value of the one live verdict of a response; no assistant's name holds a slash."""
    return f"{assistant}/{response_id}"


def _row(verdict: Verdict) -> dict[str, Any]:
    stratum, assessment = verdict.stratum, verdict.assessment
    live = verdict.purpose is Purpose.LIVE
    acts = visible_acts(assessment.measurements)
    return {
        "key": verdict.key,
        "assistant": stratum.assistant,
        "response_id": verdict.response_id,
        "purpose": verdict.purpose.value,
        "repeat": verdict.repeat,
        "live_slot": live_slot(stratum.assistant, verdict.response_id) if live else None,
        "stratum": stratum.key,
        "segment": stratum.segment,
        "stakes": stratum.stakes.value,
        "model": verdict.model,
        "kind": assessment.kind.value,
        "p_lie": assessment.p_lie,
        "p_evasion": assessment.p_evasion,
        "sampled_by": verdict.sampled_by.value,
        "inclusion_probability": verdict.inclusion_probability,
        "evaluator_version": assessment.evaluator_version,
        "record": msgspec.json.encode(verdict).decode(),
        "created_at_s": verdict.created_at_s,
        "scored_at_s": verdict.scored_at_s,
        "outcomes": encode_outcomes(outcomes(assessment)),
        "acts": None if acts is None else acts.value,
    }
