"""Live verdicts counted in steps of time, and what happened meanwhile; each by index, within its period."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import BigInteger, Connection, Subquery, case, cast, func, select

from monitor.store.dialect import floored
from monitor.store.schema import gate_decisions, is_live, verdicts
from monitor.store.status import KindCount, leaning_sums
from monitor.store.tally import cells_between, counted_by
from monitor.store.verdicts import FINAL_PROBABILITY

NAMES = ("assistant", "segment", "stakes", "kind", "evaluator_version", "model")
"""What verdicts are counted by, beside their step."""


class StepCount(KindCount, frozen=True, kw_only=True):
    """A `KindCount` of one model version within one step; `step` is its time over the step's width."""

    step: int
    model: str


class MadeDecision(msgspec.Struct, frozen=True):
    """When the gate answered what, for whom; `overridden` once somebody let it pass."""

    assistant: str
    answer: str
    created_at_s: float
    decision_id: str


def step_counts(
    connection: Connection, *, start_s: float, end_s: float, width_s: float
) -> list[StepCount]:
    """Live verdicts scored in a period, by step, stratum, kind, evaluator and model version.

    Steps of whole slots come from the tally: their cost does not grow with the verdicts.
    """
    hours = counted_by(start_s, end_s, width_s)
    if hours is not None:
        start, end, slots = (int(s // (hours * 3_600)) for s in (start_s, end_s, width_s))
        return _tallied(connection, cells_between(hours, start, end), slots)
    return counted_anew(connection, start_s=start_s, end_s=end_s, width_s=width_s)


def counted_anew(
    connection: Connection, *, start_s: float, end_s: float, width_s: float
) -> list[StepCount]:
    """`step_counts` from the verdicts themselves."""
    weight = 1.0 / FINAL_PROBABILITY
    at = verdicts.c.scored_at_s
    columns = [
        floored(connection, at / width_s).label("step"),
        *(verdicts.c[name] for name in NAMES),
    ]
    query = (
        select(
            *columns,
            func.count().label("n"),
            func.sum(weight).label("weight"),
            func.sum(weight * weight).label("weight_squared"),
            *leaning_sums(weight),
        )
        .where(is_live, at >= start_s, at < end_s)
        .group_by(*columns)
    )
    return [StepCount(**row) for row in connection.execute(query).mappings()]


def _tallied(connection: Connection, found: Subquery, slots: int) -> list[StepCount]:
    """Counts of steps of so many slots each."""
    cells = found.c
    weight = 1.0 / cells.probability
    names = (cells[name] for name in NAMES)
    columns = [(cells.slot // slots).label("step"), *names]
    query = select(
        *columns,
        cast(func.sum(cells.n), BigInteger).label("n"),
        func.sum(cells.n * weight).label("weight"),
        func.sum(cells.n * weight * weight).label("weight_squared"),
        func.sum(case((cells.leans, cells.n * weight), else_=0.0)).label("leaning"),
        func.sum(case((cells.contradicted, cells.n * weight), else_=0.0)).label("contradicted"),
    ).group_by(*columns)
    return [StepCount(**row) for row in connection.execute(query).mappings()]


def decisions_between(
    connection: Connection, *, start_s: float, end_s: float, limit: int
) -> Sequence[MadeDecision]:
    """The newest gate decisions of a period."""
    table = gate_decisions.c
    answer = case((table.overridden_by.is_not(None), "overridden"), else_=table.answer)
    query = (
        select(table.assistant, answer.label("answer"), table.created_at_s, table.decision_id)
        .where(table.created_at_s >= start_s, table.created_at_s < end_s)
        .order_by(table.created_at_s.desc(), table.decision_id.desc())
        .limit(limit)
    )
    return [MadeDecision(**row) for row in connection.execute(query).mappings()]
