"""Read-only queries behind the gauges, the API and the console; every list is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, and_, case, func, select

from evidence.prevalence import LEANS_FROM
from monitor.store.schema import (
    cohort_estimates,
    confirm_runs,
    detectors,
    feedback,
    gap_watches,
    gate_decisions,
    is_live,
    is_live_traffic,
    is_parked,
    is_unpublished,
    labels,
    outbox,
    rater_posteriors,
    responses,
    verdicts,
    worker_heartbeats,
)
from monitor.store.verdicts import FINAL_PROBABILITY
from probes.scorer import Evaluator
from probes.visible import Visible


class KindCount(msgspec.Struct, frozen=True, kw_only=True):
    """Live verdicts of one kind by one evaluator in one stratum.

    `weight` and `weight_squared` are the sums of 1/pi and 1/pi^2, pi being the final probability: a rated
    response was certain to be taken with that of the feedback sample. `leaning` is the sum of 1/pi of those
    that lean towards a lie, `contradicted` of those of these whose tool record contradicts what they say of acts.
    """

    assistant: str
    segment: str
    stakes: str
    kind: str
    evaluator_version: str
    n: int
    weight: float
    weight_squared: float
    leaning: float = 0.0
    contradicted: float = 0.0


class ActCount(msgspec.Struct, frozen=True, kw_only=True):
    """Live verdicts of an assistant's replies whose tool record supports, or contradicts, what they say of acts.

    Parameters
    ----------
    acts
        A value of `probes.visible.Visible`.
    weight, weight_squared
        As of `KindCount`.
    """

    assistant: str
    acts: str
    n: int
    weight: float
    weight_squared: float


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker last said of itself; None is not known, and so are no evaluators."""

    worker: str
    seen_at_s: float
    expected: int
    actual: int
    paused: bool
    lag_records: int | None
    evaluators: tuple[Evaluator, ...] = ()

    def is_alive(self, now_s: float, silent_after_s: float) -> bool:
        """Whether it spoke within `silent_after_s`. One that spoke from the future proves nothing."""
        return abs(now_s - self.seen_at_s) <= silent_after_s


def kind_counts(connection: Connection, *, since_s: float) -> list[KindCount]:
    """Live verdicts scored since a time, counted by stratum, kind and evaluator with their weights."""
    weight = 1.0 / FINAL_PROBABILITY
    names = ("assistant", "segment", "stakes", "kind", "evaluator_version")
    columns = [verdicts.c[name] for name in names]
    query = (
        select(
            *columns,
            func.count().label("n"),
            func.sum(weight).label("weight"),
            func.sum(weight * weight).label("weight_squared"),
            *leaning_sums(weight),
        )
        .where(is_live, verdicts.c.scored_at_s >= since_s)
        .group_by(*columns)
    )
    return [KindCount(**row) for row in connection.execute(query).mappings()]


def leaning_sums(weight: ColumnElement[Any]) -> tuple[ColumnElement[float], ...]:
    """`leaning` and `contradicted` of a `KindCount`, from rows of verdicts with a weight."""
    leans = verdicts.c.p_lie >= LEANS_FROM
    against = and_(leans, verdicts.c.acts == Visible.CONTRADICTED.value)
    return tuple(
        func.sum(case((of, weight), else_=0.0)).label(name)
        for name, of in (("leaning", leans), ("contradicted", against))
    )


def act_counts(connection: Connection, *, since_s: float) -> list[ActCount]:
    """Live verdicts scored since a time whose acts could be seen, by assistant and what was seen."""
    weight = 1.0 / FINAL_PROBABILITY
    columns = (verdicts.c.assistant, verdicts.c.acts)
    query = (
        select(
            *columns,
            func.count().label("n"),
            func.sum(weight).label("weight"),
            func.sum(weight * weight).label("weight_squared"),
        )
        .where(verdicts.c.acts.is_not(None), is_live, verdicts.c.scored_at_s >= since_s)
        .group_by(*columns)
    )
    return [ActCount(**row) for row in connection.execute(query).mappings()]


def detector_states(connection: Connection, *, limit: int | None = 2000) -> list[tuple[str, str]]:
    """Stratum key and state text of each detector, newest first; of all for None."""
    query = select(detectors.c.stratum, detectors.c.state)
    rows = connection.execute(query.order_by(detectors.c.updated_at_s.desc()).limit(limit))
    return [(row.stratum, row.state) for row in rows]


def sycophancy_gaps(connection: Connection, *, limit: int = 500) -> list[tuple[str, str]]:
    """Assistant and gap (JSON, or null) of every watch."""
    query = select(gap_watches.c.assistant, gap_watches.c.gap).order_by(gap_watches.c.assistant)
    return [(row.assistant, row.gap) for row in connection.execute(query.limit(limit))]


def newest_estimates(connection: Connection, *, limit: int = 500) -> Sequence[RowMapping]:
    """The newest cohort estimate of each assistant."""
    newest = select(func.max(cohort_estimates.c.id)).group_by(cohort_estimates.c.assistant)
    query = select(cohort_estimates).where(cohort_estimates.c.id.in_(newest))
    return (
        connection.execute(query.order_by(cohort_estimates.c.assistant).limit(limit))
        .mappings()
        .all()
    )


def rater_counts(connection: Connection) -> dict[tuple[str, str], int]:
    """Raters by assistant and status."""
    columns = (rater_posteriors.c.assistant, rater_posteriors.c.status)
    rows = connection.execute(select(*columns, func.count()).group_by(*columns))
    return {(assistant, status): n for assistant, status, n in rows}


def list_raters(
    connection: Connection, assistant: str, *, status: str | None, limit: int
) -> Sequence[RowMapping]:
    """Posteriors of raters (pseudonyms), the most suspect first."""
    query = select(rater_posteriors).where(rater_posteriors.c.assistant == assistant)
    if status is not None:
        query = query.where(rater_posteriors.c.status == status)
    order = (
        func.coalesce(rater_posteriors.c.p_biased, -1.0).desc(),
        rater_posteriors.c.rater,
    )
    return connection.execute(query.order_by(*order).limit(limit)).mappings().all()


def list_decisions(
    connection: Connection, *, assistant: str | None = None, limit: int = 100
) -> Sequence[RowMapping]:
    """Gate decisions, newest first."""
    query = select(gate_decisions)
    if assistant is not None:
        query = query.where(gate_decisions.c.assistant == assistant)
    order = (gate_decisions.c.created_at_s.desc(), gate_decisions.c.decision_id)
    return connection.execute(query.order_by(*order).limit(limit)).mappings().all()


def decision_counts(connection: Connection) -> dict[tuple[str, str], int]:
    """Gate decisions by assistant and answer; an overridden one counts as `overridden`."""
    answer = case(
        (gate_decisions.c.overridden_by.is_not(None), "overridden"), else_=gate_decisions.c.answer
    ).label("shown")
    query = select(gate_decisions.c.assistant, answer, func.count())
    rows = connection.execute(query.group_by(gate_decisions.c.assistant, answer))
    return {(assistant, shown): n for assistant, shown, n in rows}


def list_runs(
    connection: Connection, *, assistant: str | None = None, limit: int = 50
) -> Sequence[RowMapping]:
    """Confirm runs, newest first."""
    query = select(confirm_runs)
    if assistant is not None:
        query = query.where(confirm_runs.c.assistant == assistant)
    order = (confirm_runs.c.requested_at_s.desc(), confirm_runs.c.run_id)
    return connection.execute(query.order_by(*order).limit(limit)).mappings().all()


def run_counts(connection: Connection) -> dict[tuple[str, str], int]:
    """Confirm runs by assistant and state."""
    columns = (confirm_runs.c.assistant, confirm_runs.c.state)
    rows = connection.execute(select(*columns, func.count()).group_by(*columns))
    return {(assistant, state): n for assistant, state, n in rows}


def random_label_counts(connection: Connection) -> dict[str, int]:
    """Responses with a human label that a random audit chose, by assistant."""
    chosen = (
        select(labels.c.assistant, labels.c.response_id)
        .where(labels.c.inclusion_probability.is_not(None))
        .distinct()
        .subquery()
    )
    query = select(chosen.c.assistant, func.count()).group_by(chosen.c.assistant)
    return {row[0]: row[1] for row in connection.execute(query)}


def heartbeats(connection: Connection) -> list[Heartbeat]:
    """What each worker last said."""
    query = select(worker_heartbeats).order_by(worker_heartbeats.c.worker)
    return [
        Heartbeat(**{**row, "evaluators": decode_evaluators(row["evaluators"])})
        for row in connection.execute(query).mappings()
    ]


def decode_evaluators(text: str | None) -> tuple[Evaluator, ...]:
    """What a heartbeat says that its worker measures with."""
    return () if text is None else msgspec.json.decode(text, type=tuple[Evaluator, ...])


def is_known_assistant(connection: Connection, assistant: str) -> bool:
    """Whether any response or decision of the assistant is stored."""
    return any(
        connection.execute(
            select(table.c.assistant).where(table.c.assistant == assistant).limit(1)
        ).scalar()
        for table in (responses, gate_decisions)
    )


def last_response_s(connection: Connection) -> float | None:
    """When the newest response was accepted, canaries and other probe traffic aside."""
    at = responses.c.received_at_s
    return connection.execute(
        select(at).where(is_live_traffic).order_by(at.desc()).limit(1)
    ).scalar()


def last_verdict_s(connection: Connection) -> float | None:
    """When the newest live verdict was made."""
    at = verdicts.c.scored_at_s
    return connection.execute(select(at).where(is_live).order_by(at.desc()).limit(1)).scalar()


def outbox_pending(connection: Connection) -> int:
    """Outbox records that no broker has acknowledged."""
    query = select(func.count()).select_from(outbox).where(is_unpublished)
    return int(connection.execute(query).scalar_one())


def feedback_parked(connection: Connection) -> int:
    """Feedback that waits for its response."""
    query = select(func.count()).select_from(feedback).where(is_parked)
    return int(connection.execute(query).scalar_one())
