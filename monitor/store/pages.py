"""Lists as people page through them: newest first, from a position on, within a time, by index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    literal,
    null,
    or_,
    select,
    tuple_,
)

from evidence import Alarm, AlarmState, AlarmSubject, Purpose, Response, Verdict, VerdictKind
from evidence.outcomes import Outcome, decode_outcomes
from monitor.store.alarms import as_stored
from monitor.store.intake import unpack_body
from monitor.store.labels import Label
from monitor.store.schema import (
    alarms,
    beside_live,
    gate_decisions,
    labels,
    responses,
    verdicts,
)

Position = tuple[float | str, ...]
"""Time and key of an item: where the next page begins."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list.

    Parameters
    ----------
    after
        Position of the last item of the page before.
    since_s, until_s
        Times to begin with, and to end before.
    """

    after: Position | None = None
    since_s: float | None = None
    until_s: float | None = None
    limit: int = 100


class VerdictFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which verdicts to list; None does not filter."""

    assistant: str | None = None
    response_id: str | None = None
    stratum: str | None = None
    kind: VerdictKind | None = None
    model: str | None = None
    purposes: Sequence[Purpose] = (Purpose.LIVE,)
    least_p_lie: float | None = None
    most_p_lie: float | None = None


class AlarmFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which alarms to list; None does not filter.

    `assistants` are those that the reader may see, alarms of evaluators beside them; `assistant` is the
    one asked for, whose evaluators are left out.
    """

    states: Sequence[AlarmState] = ()
    scope: str | None = None
    metric: str | None = None
    assistant: str | None = None
    assistants: Sequence[str] | None = None


def list_verdicts(connection: Connection, wanted: VerdictFilter, page: Page) -> list[Verdict]:
    """Verdicts, by the time of their making."""
    query = _verdicts(select(verdicts.c.record), wanted)
    query = _cut(query, page, verdicts.c.scored_at_s, verdicts.c.key)
    rows = connection.execute(query).scalars()
    return [msgspec.json.decode(record, type=Verdict) for record in rows]


class Inside(msgspec.Struct, frozen=True):
    """What a verdict is looked through for: how its probes ended, and the packed text that it is about."""

    key: str
    scored_at_s: float
    ends: str | None
    body: bytes | None

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """The end of the evaluation, and of each probe that was asked."""
        return decode_outcomes(self.ends or "")

    def response(self) -> Response | None:
        """The response; None where its text is past its retention, or was not asked for."""
        return None if self.body is None else unpack_body(self.body)


def list_insides(
    connection: Connection, wanted: VerdictFilter, page: Page, *, text: bool
) -> list[Inside]:
    """Verdicts by the time of their making, with what is looked for in them; `text` reads the responses."""
    same = (responses.c.assistant == verdicts.c.assistant) & (
        responses.c.response_id == verdicts.c.response_id
    )
    body = responses.c.body if text else null().label("body")
    query = select(verdicts.c.key, verdicts.c.scored_at_s, verdicts.c.outcomes, body)
    if text:
        query = query.select_from(verdicts.outerjoin(responses, same))
    query = _cut(_verdicts(query, wanted), page, verdicts.c.scored_at_s, verdicts.c.key)
    return [Inside(*row) for row in connection.execute(query)]


def verdicts_of(connection: Connection, keys: Sequence[str]) -> list[Verdict]:
    """The verdicts with these keys, in the order of the keys."""
    query = select(verdicts.c.key, verdicts.c.record).where(verdicts.c.key.in_(list(keys)))
    found = {row.key: row.record for row in connection.execute(query)} if keys else {}
    return [msgspec.json.decode(found[key], type=Verdict) for key in keys if key in found]


def find_verdict(connection: Connection, key: str) -> tuple[Verdict, Response | None] | None:
    """A verdict with the response that it is about, None once that is past its retention."""
    same = (responses.c.assistant == verdicts.c.assistant) & (
        responses.c.response_id == verdicts.c.response_id
    )
    query = (
        select(verdicts.c.record, responses.c.body)
        .select_from(verdicts.outerjoin(responses, same))
        .where(verdicts.c.key == key)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    verdict = msgspec.json.decode(row.record, type=Verdict)
    return verdict, None if row.body is None else unpack_body(row.body)


def list_alarms(connection: Connection, wanted: AlarmFilter, page: Page) -> list[Alarm]:
    """Alarms, by the time of their opening."""
    query = select(alarms.c.record, alarms.c.state)
    if wanted.states:
        query = query.where(alarms.c.state.in_([state.value for state in wanted.states]))
    if wanted.scope is not None:
        query = query.where(alarms.c.scope == wanted.scope)
    if wanted.metric is not None:
        query = query.where(alarms.c.metric == wanted.metric)
    if wanted.assistants is not None:
        of_all = alarms.c.subject == AlarmSubject.EVALUATOR.value
        query = query.where(or_(of_all, *(_about(one) for one in wanted.assistants)))
    if wanted.assistant is not None:
        query = query.where(_about(wanted.assistant))
        query = query.where(alarms.c.subject != AlarmSubject.EVALUATOR.value)
    query = _cut(query, page, alarms.c.opened_at_s, alarms.c.alarm_id)
    return [as_stored(row.record, row.state) for row in connection.execute(query)]


def list_labels(
    connection: Connection, page: Page, *, assistant: str | None, response_id: str | None
) -> list[Label]:
    """Labels, by the time at which they were given."""
    query = select(labels)
    if assistant is not None:
        query = query.where(labels.c.assistant == assistant)
    if response_id is not None:
        query = query.where(labels.c.response_id == response_id)
    keys = (labels.c.assistant, labels.c.response_id, labels.c.labeller)
    rows = connection.execute(_cut(query, page, labels.c.at_s, *keys)).mappings()
    return [Label(**{**row, "kind": VerdictKind(row["kind"])}) for row in rows]


def list_decisions(
    connection: Connection, page: Page, *, assistant: str | None, answer: str | None = None
) -> Sequence[RowMapping]:
    """Gate decisions, by the time at which they were made."""
    query = select(gate_decisions)
    if assistant is not None:
        query = query.where(gate_decisions.c.assistant == assistant)
    if answer is not None:
        query = query.where(gate_decisions.c.answer == answer)
    query = _cut(query, page, gate_decisions.c.created_at_s, gate_decisions.c.decision_id)
    return connection.execute(query).mappings().all()


def _about(assistant: str) -> ColumnElement[bool]:
    """Alarms of the assistant's strata, and of its population."""
    scope = alarms.c.scope
    return or_(scope == assistant, scope.startswith(f"{assistant}/", autoescape=True))


def _verdicts(query: Select[Any], wanted: VerdictFilter) -> Select[Any]:
    for column, value in (
        (verdicts.c.assistant, wanted.assistant),
        (verdicts.c.response_id, wanted.response_id),
        (verdicts.c.stratum, wanted.stratum),
        (verdicts.c.kind, wanted.kind),
        (verdicts.c.model, wanted.model),
    ):
        if value is not None:
            query = query.where(column == value)
    query = query.where(verdicts.c.purpose.in_([one.value for one in wanted.purposes]))
    if Purpose.LIVE not in wanted.purposes:
        # The few beside the live ones have an index of their own.
        query = query.where(beside_live)
    if wanted.least_p_lie is not None:
        query = query.where(verdicts.c.p_lie >= wanted.least_p_lie)
    if wanted.most_p_lie is not None:
        query = query.where(verdicts.c.p_lie <= wanted.most_p_lie)
    return query


def _cut(query: Select[Any], page: Page, at: Column[float], *keys: Column[str]) -> Select[Any]:
    if page.since_s is not None:
        query = query.where(at >= page.since_s)
    if page.until_s is not None:
        query = query.where(at < page.until_s)
    order: tuple[Column[Any], ...] = (at, *keys)
    if page.after is not None:
        query = query.where(tuple_(*order) < tuple_(*map(literal, page.after)))
    return query.order_by(*(column.desc() for column in order)).limit(page.limit)
