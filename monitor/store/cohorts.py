"""Feedback joined to live verdicts, and the cohort estimates made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, insert, select

from evidence import AlarmState, AlarmSubject, VerdictKind
from evidence.records import ASSERTED
from monitor.store.schema import (
    alarms,
    cohort_estimates,
    feedback,
    labels,
    rated_counts,
    rater_groups,
    rater_posteriors,
    responses,
    verdicts,
)


class RatedRow(msgspec.Struct, frozen=True, kw_only=True):
    """Matched feedback with the p_lie of its response; None where the response has no asserted verdict."""

    feedback_id: str
    rater: str
    response_id: str
    value: float
    p_lie: float | None
    created_at_s: float
    topic: str
    kind: str


class StoredEstimate(msgspec.Struct, frozen=True):
    """The newest estimate of an assistant; id 0 before the first."""

    id: int
    alarm_state: str
    record: str = ""


class NewEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate on its way into the store.

    Parameters
    ----------
    raters
        Rows of `rater_posteriors`.
    groups
        Coordination groups, the surest first: id and raters.
    """

    assistant: str
    cutoff_s: float
    n_events: int
    record: str
    alarm_state: str
    raters: tuple[Mapping[str, Any], ...]
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()


class CarriedEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate carried forward over new events; `p_biased` holds the raters that they touched."""

    assistant: str
    cutoff_s: float
    n_raters: int
    n_events: int
    record: str
    p_biased: Mapping[str, float]


def rated_assistants(connection: Connection) -> list[tuple[str, int, int]]:
    """Each assistant with feedback, its events as `rated_events` has them, and how many are measured."""
    table = rated_counts.c
    query = select(table.assistant, table.n_events, table.n_measured).where(table.n_events > 0)
    return [
        (a, n, measured) for a, n, measured in connection.execute(query.order_by(table.assistant))
    ]


def rated_events(
    connection: Connection, assistant: str, *, since_s: float | None = None
) -> list[RatedRow]:
    """Matched feedback of an assistant by time, without that on probe traffic.

    Parameters
    ----------
    since_s
        Only feedback that was received, or whose response was measured, from this time on.
    """
    table = feedback.c
    query = (
        select(
            table.feedback_id,
            table.rater,
            table.response_id,
            table.value,
            verdicts.c.p_lie,
            table.created_at_s,
            responses.c.segment.label("topic"),
            table.kind,
        )
        .select_from(
            feedback.join(responses, _response_of_feedback()).outerjoin(
                verdicts, _verdict_of_feedback()
            )
        )
        .where(
            table.assistant == assistant,
            table.state == "matched",
            func.coalesce(responses.c.skip_reason, "") != "probe_traffic",
        )
        .order_by(table.created_at_s, table.feedback_id)
    )
    if since_s is None:
        return [RatedRow(**row) for row in connection.execute(query).mappings()]
    # Two ranges of an index each; what is in both counts once.
    parts = (table.received_at_s >= since_s, verdicts.c.scored_at_s >= since_s)
    rows = {
        row["feedback_id"]: RatedRow(**row)
        for part in parts
        for row in connection.execute(query.where(part)).mappings()
    }
    return sorted(rows.values(), key=lambda row: (row.created_at_s, row.feedback_id))


def main_evaluator(connection: Connection, assistant: str) -> str | None:
    """The evaluator that measured most of the rated responses; None where none did."""
    count = func.count()
    query = (
        select(verdicts.c.evaluator_version, count)
        .select_from(feedback.join(verdicts, _verdict_of_feedback()))
        .where(feedback.c.assistant == assistant, feedback.c.state == "matched")
        .group_by(verdicts.c.evaluator_version)
        .order_by(count.desc(), verdicts.c.evaluator_version)
    )
    row = connection.execute(query.limit(1)).one_or_none()
    return None if row is None else str(row[0])


def audited_truth(connection: Connection, assistant: str) -> dict[str, bool]:
    """Whether a randomly audited response is a lie, where its labellers agree."""
    query = select(labels.c.response_id, labels.c.kind).where(
        labels.c.assistant == assistant,
        labels.c.inclusion_probability.is_not(None),
        labels.c.kind.in_((VerdictKind.HONEST.value, VerdictKind.LIE.value)),
    )
    seen: dict[str, set[bool]] = {}
    for response_id, kind in connection.execute(query):
        seen.setdefault(response_id, set()).add(kind == VerdictKind.LIE.value)
    return {response_id: found.pop() for response_id, found in seen.items() if len(found) == 1}


def newest_estimate(connection: Connection, assistant: str) -> StoredEstimate:
    """The newest estimate of an assistant."""
    table = cohort_estimates.c
    query = select(table.id, table.alarm_state, table.record).where(table.assistant == assistant)
    row = connection.execute(query.order_by(table.id.desc()).limit(1)).one_or_none()
    return StoredEstimate(0, "") if row is None else StoredEstimate(*row)


def closed_metrics(connection: Connection, scope: str) -> dict[str, float]:
    """Metrics of which every population alarm about this scope is closed, and when the last was."""
    query = select(alarms.c.metric, alarms.c.state, alarms.c.changed_at_s).where(
        alarms.c.subject == AlarmSubject.POPULATION.value, alarms.c.scope == scope
    )
    closed: dict[str, float] = {}
    others: set[str] = set()
    for metric, state, changed_at_s in connection.execute(query):
        closed[metric] = max(changed_at_s, closed.get(metric, changed_at_s))
        if state != AlarmState.CLOSED.value:
            others.add(metric)
    return {metric: at_s for metric, at_s in closed.items() if metric not in others}


def save_estimate(
    connection: Connection, new: NewEstimate, follows: StoredEstimate, *, now_s: float
) -> bool:
    """Store an estimate that was made after `follows`; False when another came in between."""
    if newest_estimate(connection, new.assistant).id != follows.id:
        return False
    estimate_id = connection.execute(
        insert(cohort_estimates)
        .values(
            assistant=new.assistant,
            cutoff_s=new.cutoff_s,
            n_raters=len(new.raters),
            n_events=new.n_events,
            record=new.record,
            alarm_state=new.alarm_state,
            created_at_s=now_s,
        )
        .returning(cohort_estimates.c.id)
    ).scalar_one()
    for table in (rater_posteriors, rater_groups):
        connection.execute(table.delete().where(table.c.assistant == new.assistant))
    shared = {"assistant": new.assistant, "estimate_id": estimate_id}
    rows = [{**row, **shared} for row in new.raters]
    if rows:
        connection.execute(insert(rater_posteriors), rows)
    group_of: dict[str, str] = {}
    for group_id, members in new.groups:
        for rater in members:
            group_of.setdefault(rater, group_id)
    if group_of:
        grouped = [{"rater": r, "group_id": g, **shared} for r, g in sorted(group_of.items())]
        connection.execute(insert(rater_groups), grouped)
    return True


def save_carried(
    connection: Connection, new: CarriedEstimate, follows: StoredEstimate, *, now_s: float
) -> bool:
    """Store an estimate carried on from `follows`; False when another came in between.

    Statuses and groups stay as the last fit saw them.
    """
    if newest_estimate(connection, new.assistant).id != follows.id:
        return False
    connection.execute(
        insert(cohort_estimates).values(
            assistant=new.assistant,
            cutoff_s=new.cutoff_s,
            n_raters=new.n_raters,
            n_events=new.n_events,
            record=new.record,
            alarm_state=follows.alarm_state,
            created_at_s=now_s,
        )
    )
    table = rater_posteriors.c
    if new.p_biased:
        connection.execute(
            rater_posteriors.update()
            .where(table.assistant == new.assistant, table.rater == bindparam("who"))
            .values(p_biased=bindparam("chance")),
            [{"who": rater, "chance": p} for rater, p in sorted(new.p_biased.items())],
        )
    return True


def _response_of_feedback() -> ColumnElement[bool]:
    return and_(
        responses.c.assistant == feedback.c.assistant,
        responses.c.response_id == feedback.c.response_id,
    )


def _verdict_of_feedback() -> ColumnElement[bool]:
    return and_(
        verdicts.c.assistant == feedback.c.assistant,
        verdicts.c.response_id == feedback.c.response_id,
        verdicts.c.live_slot.is_not(None),
        verdicts.c.kind.in_([kind.value for kind in ASSERTED]),
    )
