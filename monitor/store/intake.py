"""Accepted and refused records: responses, feedback, duplicates and dead letters, by source position."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, select, tuple_, update

from evidence import Feedback, Response, SampledBy
from monitor.store.dialect import insert_new
from monitor.store.schema import dead_letters, duplicates, feedback, responses

Key = tuple[str, str]
"""(assistant, response_id) or (assistant, feedback_id)."""


class Position(msgspec.Struct, frozen=True, order=True):
    """Where a record came from."""

    cluster_id: str
    topic: str
    partition: int
    offset: int


class NewResponse(msgspec.Struct, frozen=True):
    """A response with its sampling decision, on its way into the store."""

    response: Response
    position: Position
    u: float
    pi_arrival: float
    pi_feedback: float
    sampled_by: SampledBy | None
    skip_reason: str | None

    @property
    def key(self) -> Key:
        return (self.response.stratum.assistant, self.response.response_id)


class NewFeedback(msgspec.Struct, frozen=True):
    """Feedback on its way into the store."""

    feedback: Feedback
    position: Position

    @property
    def key(self) -> Key:
        return (self.feedback.assistant, self.feedback.feedback_id)

    @property
    def response_key(self) -> Key:
        return (self.feedback.assistant, self.feedback.response_id)


class NewDeadLetter(msgspec.Struct, frozen=True):
    """A refused record with its encrypted body."""

    position: Position
    reason: str
    detail: str
    body: bytes | None


def insert_responses(
    connection: Connection, items: Iterable[NewResponse], *, now_s: float
) -> set[Key]:
    """Insert responses; returns the keys that were new. The caller passes each key once."""
    rows = [_response_row(item, now_s) for item in sorted(items, key=lambda item: item.key)]
    columns = (responses.c.assistant, responses.c.response_id)
    return {(a, r) for a, r in insert_new(connection, responses, rows, columns)}


def insert_feedback(
    connection: Connection, items: Iterable[NewFeedback], known: set[Key], *, now_s: float
) -> set[Key]:
    """Insert feedback, matched when its response is in `known`, else parked; returns the new keys."""
    rows = [
        _feedback_row(item, "matched" if item.response_key in known else "parked", now_s)
        for item in sorted(items, key=lambda item: item.key)
    ]
    columns = (feedback.c.assistant, feedback.c.feedback_id)
    return {(a, f) for a, f in insert_new(connection, feedback, rows, columns)}


def insert_duplicates(connection: Connection, at: Sequence[Position], *, now_s: float) -> None:
    """Count records whose key was accepted before."""
    rows = [{**msgspec.structs.asdict(position), "received_at_s": now_s} for position in at]
    insert_new(connection, duplicates, rows, [duplicates.c.offset])


def insert_dead_letters(
    connection: Connection, items: Sequence[NewDeadLetter], *, now_s: float
) -> None:
    """Keep refused records with their reasons."""
    rows = [
        {
            **msgspec.structs.asdict(item.position),
            "reason": item.reason,
            "detail": item.detail,
            "body": item.body,
            "received_at_s": now_s,
        }
        for item in items
    ]
    insert_new(connection, dead_letters, rows, [dead_letters.c.offset])


def known_responses(connection: Connection, keys: Iterable[Key]) -> set[Key]:
    """Which of these responses are in the store."""
    wanted = sorted(set(keys))
    if not wanted:
        return set()
    pair = tuple_(responses.c.assistant, responses.c.response_id)
    query = select(responses.c.assistant, responses.c.response_id).where(pair.in_(wanted))
    return {(a, r) for a, r in connection.execute(query)}


def with_feedback(connection: Connection, keys: Iterable[Key]) -> set[Key]:
    """Which of these responses have feedback in the store, parked or matched."""
    wanted = sorted(set(keys))
    if not wanted:
        return set()
    pair = tuple_(feedback.c.assistant, feedback.c.response_id)
    query = select(feedback.c.assistant, feedback.c.response_id).where(
        pair.in_(wanted), feedback.c.state != "orphan"
    )
    return {(a, r) for a, r in connection.execute(query.distinct())}


def match_parked(connection: Connection, keys: Iterable[Key]) -> int:
    """Mark parked feedback on these responses as matched; returns how many."""
    rows = [{"a": assistant, "r": response_id} for assistant, response_id in sorted(keys)]
    if not rows:
        return 0
    statement = (
        update(feedback)
        .where(
            feedback.c.assistant == bindparam("a"),
            feedback.c.response_id == bindparam("r"),
            feedback.c.state == "parked",
        )
        .values(state="matched")
    )
    return sum(connection.execute(statement, row).rowcount for row in rows)


def pack_body(response: Response) -> bytes:
    """The stored form of a response: compressed JSON."""
    return zlib.compress(msgspec.json.encode(response), 6)


def unpack_body(body: bytes) -> Response:
    """The response in a stored body."""
    return msgspec.json.decode(zlib.decompress(body), type=Response)


def _response_row(item: NewResponse, now_s: float) -> Mapping[str, Any]:
    response = item.response
    return {
        "assistant": response.stratum.assistant,
        "response_id": response.response_id,
        "stratum": response.stratum.key,
        "segment": response.stratum.segment,
        "stakes": response.stratum.stakes.value,
        "model": response.model,
        "conversation_id": response.conversation_id,
        "rater": response.rater,
        "created_at_s": response.created_at_s,
        "received_at_s": now_s,
        "u": item.u,
        "pi_arrival": item.pi_arrival,
        "pi_feedback": item.pi_feedback,
        "sampled_by": None if item.sampled_by is None else item.sampled_by.value,
        "skip_reason": item.skip_reason,
        "body": pack_body(response),
        **msgspec.structs.asdict(item.position),
    }


def _feedback_row(item: NewFeedback, state: str, now_s: float) -> Mapping[str, Any]:
    given = item.feedback
    return {
        "assistant": given.assistant,
        "feedback_id": given.feedback_id,
        "response_id": given.response_id,
        "rater": given.rater,
        "created_at_s": given.created_at_s,
        "received_at_s": now_s,
        "value": given.value,
        "kind": given.kind,
        "text": given.text,
        "state": state,
        **msgspec.structs.asdict(item.position),
    }
