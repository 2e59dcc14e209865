"""Feedback joined to live verdicts, and the cohort estimates made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, insert, select

from evidence import AlarmState, AlarmSubject, VerdictKind
from monitor.store.schema import (
    alarms,
    cohort_estimates,
    feedback,
    labels,
    rater_posteriors,
    responses,
    verdicts,
)

_ASSERTED = (VerdictKind.HONEST.value, VerdictKind.LIE.value, VerdictKind.EVASION.value)


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


class NewEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate on its way into the store; `raters` are rows of `rater_posteriors`."""

    assistant: str
    cutoff_s: float
    n_events: int
    record: str
    alarm_state: str
    raters: tuple[Mapping[str, Any], ...]


def rated_assistants(connection: Connection) -> list[tuple[str, int, int]]:
    """Each assistant with feedback, its matched feedback events, and how many of them are measured."""
    query = (
        select(feedback.c.assistant, func.count(), func.count(verdicts.c.p_lie))
        .select_from(feedback.outerjoin(verdicts, _verdict_of_feedback()))
        .where(feedback.c.state == "matched")
        .group_by(feedback.c.assistant)
        .order_by(feedback.c.assistant)
    )
    return [(assistant, n, measured) for assistant, n, measured in connection.execute(query)]


def rated_events(connection: Connection, assistant: str) -> list[RatedRow]:
    """Matched feedback of an assistant by time, without that on probe traffic."""
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
            feedback.join(
                responses,
                and_(
                    responses.c.assistant == table.assistant,
                    responses.c.response_id == table.response_id,
                ),
            ).outerjoin(verdicts, _verdict_of_feedback())
        )
        .where(
            table.assistant == assistant,
            table.state == "matched",
            func.coalesce(responses.c.skip_reason, "") != "probe_traffic",
        )
        .order_by(table.created_at_s, table.feedback_id)
    )
    return [RatedRow(**row) for row in connection.execute(query).mappings()]


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
    query = select(table.id, table.alarm_state).where(table.assistant == assistant)
    row = connection.execute(query.order_by(table.id.desc()).limit(1)).one_or_none()
    return StoredEstimate(0, "") if row is None else StoredEstimate(row.id, row.alarm_state)


def closed_metrics(connection: Connection, scope: str) -> set[str]:
    """Metrics of which every population alarm about this scope is closed."""
    query = select(alarms.c.metric, alarms.c.state).where(
        alarms.c.subject == AlarmSubject.POPULATION.value, alarms.c.scope == scope
    )
    states: dict[str, set[str]] = {}
    for metric, state in connection.execute(query):
        states.setdefault(metric, set()).add(state)
    return {metric for metric, found in states.items() if found == {AlarmState.CLOSED.value}}


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
    connection.execute(
        rater_posteriors.delete().where(rater_posteriors.c.assistant == new.assistant)
    )
    shared = {"assistant": new.assistant, "estimate_id": estimate_id}
    rows = [{**row, **shared} for row in new.raters]
    if rows:
        connection.execute(insert(rater_posteriors), rows)
    return True


def _verdict_of_feedback() -> ColumnElement[bool]:
    return and_(
        verdicts.c.assistant == feedback.c.assistant,
        verdicts.c.response_id == feedback.c.response_id,
        verdicts.c.live_slot.is_not(None),
        verdicts.c.kind.in_(_ASSERTED),
    )
