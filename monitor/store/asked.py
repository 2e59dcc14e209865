"""What the store knows about the responses and raters that somebody asks about, and of no others."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from sys import intern
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, case, select

from evidence import Message, words_digest
from monitor.store.dialect import one_of
from monitor.store.intake import MATCHED, unpack_body
from monitor.store.schema import (
    feedback,
    rater_groups,
    rater_posteriors,
    responses,
    tombstones,
    verdicts,
)

_CHUNK = 1_000


class LiveVerdict(msgspec.Struct, frozen=True, gc=False):
    """The live verdict of one response."""

    response_id: str
    stratum: str
    kind: str
    p_lie: float | None
    evaluator_version: str
    acts: str | None = None


class KnownRater(msgspec.Struct, frozen=True, kw_only=True):
    """What the cohort estimate says of one rater; `group` names a coordination group."""

    rater: str
    status: str
    p_biased: float | None
    group: str | None


def live_verdicts(
    connection: Connection, assistant: str, response_ids: Collection[str]
) -> Iterator[LiveVerdict]:
    """Those of the responses that have one."""
    table = verdicts.c
    columns = [getattr(table, name) for name in LiveVerdict.__struct_fields__]
    query = select(*columns).where(table.assistant == assistant, table.live_slot.is_not(None))
    for row in _among(connection, query, table.response_id, response_ids):
        yield LiveVerdict(*row)


class KnownResponse(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A response without its text.

    Parameters
    ----------
    probe_traffic
        Whether it is a canary, replay or test.
    asked, answered
        `words_digest` of the conversation before the answer, and of the answer; None once the text
        is gone.
    """

    response_id: str
    model: str
    probe_traffic: bool
    asked: bytes | None
    answered: bytes | None


def known_responses(
    connection: Connection, assistant: str, response_ids: Collection[str]
) -> Iterator[KnownResponse]:
    """Those of the responses that are stored; a text is held only while it is digested."""
    table = responses.c
    query = select(table.response_id, table.model, table.skip_reason, table.body).where(
        table.assistant == assistant
    )
    for response_id, model, skipped, body in _among(
        connection, query, table.response_id, response_ids
    ):
        said = None if body is None else unpack_body(body).messages
        yield KnownResponse(
            response_id=response_id,
            model=intern(model),
            probe_traffic=skipped == "probe_traffic",
            asked=None if said is None else words_digest(said[:-1]),
            answered=None if said is None else words_digest(said[-1:]),
        )


class KnownFeedback(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A signal that has its response; `edit` is the `words_digest` of the answer that its rater wrote."""

    feedback_id: str
    response_id: str
    rater: str
    value: float
    created_at_s: float
    edit: bytes | None


def known_feedback(
    connection: Connection, assistant: str, feedback_ids: Collection[str]
) -> Iterator[KnownFeedback]:
    """Those of the signals that are stored and have their response."""
    table = feedback.c
    written = case((table.kind == "edit", table.text)).label("written")
    query = select(
        table.feedback_id,
        table.response_id,
        table.rater,
        table.value,
        table.created_at_s,
        written,
    ).where(table.assistant == assistant, table.state == MATCHED)
    for feedback_id, response_id, rater, value, created_at_s, text in _among(
        connection, query, table.feedback_id, feedback_ids
    ):
        yield KnownFeedback(
            feedback_id=feedback_id,
            response_id=response_id,
            rater=intern(rater),
            value=value,
            created_at_s=created_at_s,
            edit=None if text is None else words_digest((Message("assistant", text),)),
        )


def known_raters(
    connection: Connection, assistant: str, raters: Collection[str]
) -> Iterator[KnownRater]:
    """Those of the raters that an estimate names; a group may hold raters whose feedback nobody measured."""
    of, grouped = rater_posteriors.c, rater_groups.c
    in_groups = select(grouped.rater, grouped.group_id).where(grouped.assistant == assistant)
    groups: dict[str, str] = {
        row.rater: row.group_id for row in _among(connection, in_groups, grouped.rater, raters)
    }
    estimated = select(of.rater, of.status, of.p_biased).where(of.assistant == assistant)
    for row in _among(connection, estimated, of.rater, raters):
        yield KnownRater(**row._mapping, group=groups.pop(row.rater, None))
    for rater, group in groups.items():
        yield KnownRater(rater=rater, status="unidentified", p_biased=None, group=group)


def forgotten_raters(connection: Connection, raters: Collection[str]) -> frozenset[str]:
    """Those of the raters whose data was erased."""
    query = select(tombstones.c.rater)
    return frozenset(row.rater for row in _among(connection, query, tombstones.c.rater, raters))


def _among(
    connection: Connection, query: Any, column: Column[Any], wanted: Collection[str]
) -> Iterator[Any]:
    """The query's rows for these values of a column, a thousand at a time."""
    names = sorted(wanted)
    for start in range(0, len(names), _CHUNK):
        part = query.where(one_of(connection, column, names[start : start + _CHUNK]))
        yield from connection.execute(part)
