"""What the store knows about the responses and raters that somebody asks about, and of no others."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator
from sys import intern
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, case, select

from evidence import Message, words_digest
from monitor.store.dialect import one_of
from monitor.store.intake import MATCHED, unpacked
from monitor.store.schema import (
    feedback,
    rater_groups,
    rater_posteriors,
    responses,
    tombstones,
    verdicts,
)

_CHUNK = 1_000


class _Conversation(msgspec.Struct, frozen=True):
    """What is digested of a stored response."""

    messages: tuple[Message, ...]


_conversations = msgspec.json.Decoder(_Conversation)


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


class KnownResponse(msgspec.Struct, frozen=True, gc=False):
    """A response without its text.

    Parameters
    ----------
    probe_traffic
        Whether it is a canary, replay or test.
    said
        `words_digest` of the whole conversation; None once the text is gone.
    asked, answered
        `words_digest` of what came before the answer, and of the answer; None where nobody wants the parts.
    """

    response_id: str
    model: str
    probe_traffic: bool
    said: bytes | None
    asked: bytes | None = None
    answered: bytes | None = None


def known_responses(
    connection: Connection,
    assistant: str,
    response_ids: Collection[str],
    *,
    in_parts: Container[str] = (),
) -> Iterator[KnownResponse]:
    """Those of the responses that are stored; a text is held only while it is digested.

    `in_parts` are the responses of which question and answer are digested apart as well.
    """
    table = responses.c
    query = select(table.response_id, table.model, table.skip_reason, table.body).where(
        table.assistant == assistant
    )
    for response_id, model, skipped, body in _among(
        connection, query, table.response_id, response_ids
    ):
        probe_traffic, name = skipped == "probe_traffic", intern(model)
        if body is None:
            yield KnownResponse(response_id, name, probe_traffic, None)
            continue
        messages = _conversations.decode(unpacked(body)).messages
        said = words_digest(messages)
        if response_id in in_parts:
            parts = words_digest(messages[:-1]), words_digest(messages[-1:])
            yield KnownResponse(response_id, name, probe_traffic, said, *parts)
        else:
            yield KnownResponse(response_id, name, probe_traffic, said)


class KnownFeedback(msgspec.Struct, frozen=True, gc=False):
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
        edit = None if text is None else words_digest((Message("assistant", text),))
        yield KnownFeedback(feedback_id, response_id, intern(rater), value, created_at_s, edit)


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
        yield from connection.execute(part).all()
