"""What the retrain gate needs from the store: liked turns, and the evidence about them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from sqlalchemy import Connection, Integer, and_, cast, func, select

from evidence import AlarmState, AlarmSubject, Response, VerdictKind
from monitor.store.health import read_all
from monitor.store.intake import unpack_body
from monitor.store.schema import (
    alarms,
    feedback,
    rater_groups,
    rater_posteriors,
    responses,
    tombstones,
    verdicts,
)
from retrain.context import (
    AlarmEvidence,
    EvaluatorHealth,
    GateContext,
    Period,
    RaterEvidence,
    VerdictEvidence,
)

_WINDOW_S = 3600.0
_SETTLED_S = 900.0
_MISSING_SHARE = 0.2
_MISSING_LEAST = 5
_NEWEST = 200
_ERROR_SHARE = 0.2


class RatedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A response with one signal on it."""

    response: Response
    feedback_id: str
    rater: str
    value: float
    created_at_s: float


def rated_turns(
    connection: Connection, assistant: str, *, liked_only: bool, limit: int
) -> Iterator[RatedTurn]:
    """The newest signals of an assistant with their responses, oldest of them first.

    Probe traffic, erased raters and responses whose body is past its retention are left out, and of
    several likes of one response by one rater the newest counts.
    """
    table = feedback.c
    same = and_(
        responses.c.assistant == table.assistant, responses.c.response_id == table.response_id
    )
    wanted = table.value > 0 if liked_only else table.value != 0
    query = (
        select(table.feedback_id, table.rater, table.value, table.created_at_s, responses.c.body)
        .select_from(feedback.join(responses, same))
        .where(
            table.assistant == assistant,
            table.state == "matched",
            wanted,
            responses.c.body.is_not(None),
            func.coalesce(responses.c.skip_reason, "") != "probe_traffic",
            table.rater.not_in(select(tombstones.c.rater)),
        )
        .order_by(table.created_at_s.desc(), table.feedback_id.desc())
    )
    seen: set[tuple[str, str]] = set()
    turns: list[RatedTurn] = []
    for row in connection.execute(query):
        response = unpack_body(row.body)
        key = (response.response_id, row.rater)
        if key in seen:
            continue
        seen.add(key)
        turns.append(
            RatedTurn(
                response=response,
                feedback_id=row.feedback_id,
                rater=row.rater,
                value=row.value,
                created_at_s=row.created_at_s,
            )
        )
        if len(turns) == limit:
            break
    yield from reversed(turns)


def gate_context(connection: Connection, assistant: str, *, now_s: float) -> GateContext:
    """All evidence about an assistant for a gate decision, without a confirm report."""
    return GateContext(
        assistant=assistant,
        verdicts=_verdicts(connection, assistant),
        raters=_raters(connection, assistant),
        alarms=alarm_evidence(connection, assistant),
        evaluators=_evaluators(connection, assistant),
        uncovered=_uncovered(connection, assistant, now_s),
        probe_traffic=_probe_traffic(connection, assistant),
        forgotten=frozenset(connection.execute(select(tombstones.c.rater)).scalars()),
    )


def _verdicts(connection: Connection, assistant: str) -> dict[str, VerdictEvidence]:
    query = select(verdicts.c.response_id, verdicts.c.kind, verdicts.c.p_lie).where(
        verdicts.c.assistant == assistant, verdicts.c.live_slot.is_not(None)
    )
    kinds = {kind.value: kind for kind in VerdictKind}
    return {
        response_id: VerdictEvidence(kinds[kind], p_lie)
        for response_id, kind, p_lie in connection.execute(query)
    }


def _raters(connection: Connection, assistant: str) -> dict[str, RaterEvidence]:
    """Posteriors with their groups; a group may hold raters whose feedback was never measured."""
    table, grouped = rater_posteriors.c, rater_groups.c
    query = select(table.rater, table.status, table.p_biased).where(table.assistant == assistant)
    of_group = select(grouped.rater, grouped.group_id).where(grouped.assistant == assistant)
    groups = {row.rater: row.group_id for row in connection.execute(of_group)}
    found = {
        rater: RaterEvidence(status, p_biased, groups.pop(rater, None))
        for rater, status, p_biased in connection.execute(query)
    }
    return found | {r: RaterEvidence("unidentified", None, g) for r, g in groups.items()}


def alarm_evidence(connection: Connection, assistant: str) -> tuple[AlarmEvidence, ...]:
    """Alarms that are not closed and concern the assistant; an evaluator's concern every assistant."""
    query = select(
        alarms.c.alarm_id, alarms.c.subject, alarms.c.scope, alarms.c.metric, alarms.c.state
    )
    query = query.where(alarms.c.state != AlarmState.CLOSED.value).order_by(alarms.c.alarm_id)
    return tuple(
        AlarmEvidence(
            alarm_id=row.alarm_id,
            subject=AlarmSubject(row.subject),
            scope=row.scope,
            metric=row.metric,
            state=AlarmState(row.state),
        )
        for row in connection.execute(query)
        if row.subject == AlarmSubject.EVALUATOR.value or concerns(row.scope, assistant)
    )


def concerns(scope: str, assistant: str) -> bool:
    """Whether an alarm's scope (a stratum's key, or an assistant) is about the assistant."""
    return scope == assistant or scope.startswith(f"{assistant}/")


def _evaluators(connection: Connection, assistant: str) -> tuple[EvaluatorHealth, ...]:
    """Each evaluator version: a failing health check, or too many errors in its newest live verdicts."""
    table = verdicts.c
    place = func.row_number().over(
        partition_by=table.evaluator_version, order_by=table.scored_at_s.desc()
    )
    newest = (
        select(table.evaluator_version, table.kind, place.label("place"))
        .where(table.assistant == assistant, table.live_slot.is_not(None))
        .subquery()
    )
    failed = func.sum(cast(newest.c.kind == VerdictKind.ERROR.value, Integer))
    query = (
        select(newest.c.evaluator_version, func.count(), failed)
        .where(newest.c.place <= _NEWEST)
        .group_by(newest.c.evaluator_version)
        .order_by(newest.c.evaluator_version)
    )
    checks = {name: known.unhealthy for name, known in read_all(connection).items()}
    found = []
    for version, n, errors in connection.execute(query):
        reason = ", ".join(checks.get(version, ()))
        if not reason and errors > _ERROR_SHARE * n:
            reason = f"{errors} of {n} verdicts are errors"
        found.append(EvaluatorHealth(evaluator=version, healthy=not reason, reason=reason))
    return tuple(found)


def _uncovered(connection: Connection, assistant: str, now_s: float) -> tuple[Period, ...]:
    """Hours in which over a fifth (and at least five) of the sampled responses have no verdict yet."""
    slot = verdicts.c.live_slot
    hour = func.floor(responses.c.received_at_s / _WINDOW_S)
    same = and_(
        verdicts.c.assistant == responses.c.assistant,
        verdicts.c.response_id == responses.c.response_id,
        slot.is_not(None),
    )
    query = (
        select(hour, func.count(), func.count(slot))
        .select_from(responses.outerjoin(verdicts, same))
        .where(
            responses.c.assistant == assistant,
            responses.c.sampled_by.is_not(None),
            responses.c.received_at_s < now_s - _SETTLED_S,
        )
        .group_by(hour)
        .order_by(hour)
    )
    return tuple(
        Period(
            from_s=float(at) * _WINDOW_S,
            to_s=(float(at) + 1) * _WINDOW_S,
            reason=f"{n - measured} of {n} sampled responses have no verdict",
        )
        for at, n, measured in connection.execute(query)
        if n - measured >= _MISSING_LEAST and n - measured > _MISSING_SHARE * n
    )


def _probe_traffic(connection: Connection, assistant: str) -> frozenset[str]:
    query = select(responses.c.response_id).where(
        responses.c.assistant == assistant, responses.c.skip_reason == "probe_traffic"
    )
    return frozenset(connection.execute(query).scalars())
