"""Accepted and refused records: responses, feedback, duplicates and dead letters, by source position."""

from __future__ import annotations

import hashlib
import operator
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, bindparam, select, update

from evidence import Feedback, Message, Response, SampledBy, ToolCall, digest
from monitor.store.dialect import insert_many, insert_new, key_rows
from monitor.store.schema import dead_letters, duplicates, feedback, is_parked, responses

MATCHED, PARKED, AMBIGUOUS = "matched", "parked", "ambiguous"
"""States of feedback: it has its response, waits for it, or names an id that two contents share."""

_RESPONSE_KEY = (responses.c.assistant, responses.c.response_id)
_FEEDBACK_KEY = (feedback.c.assistant, feedback.c.feedback_id)
_MARK_DIGITS = 16
_NAME_KEPT = 200 - 1 - _MARK_DIGITS
_WORTH_COMPRESSING_BYTES = 1024

Key = tuple[str, str]
"""(assistant, response_id) or (assistant, feedback_id)."""


class Position(msgspec.Struct, frozen=True, order=True, gc=False):
    """Where a record came from."""

    cluster_id: str
    topic: str
    partition: int
    offset: int


class NewResponse(msgspec.Struct, frozen=True, gc=False):
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

    @property
    def content_digest(self) -> bytes:
        return response_digest(self.response)


class NewFeedback(msgspec.Struct, frozen=True, gc=False):
    """Feedback on its way into the store."""

    feedback: Feedback
    position: Position

    @property
    def key(self) -> Key:
        return (self.feedback.assistant, self.feedback.feedback_id)

    @property
    def content_digest(self) -> bytes:
        return feedback_digest(self.feedback)

    @property
    def response_key(self) -> Key:
        return (self.feedback.assistant, self.feedback.response_id)


class KnownResponse(msgspec.Struct, frozen=True):
    """A stored response, as far as it takes to tell a repeated record from a repeated id."""

    content_digest: bytes | None
    shares_id: bool

    def says(self, content_digest: bytes) -> bool:
        """Whether it has this content."""
        return self.content_digest in (None, content_digest)


class KnownFeedback(msgspec.Struct, frozen=True):
    """Stored feedback, likewise."""

    content_digest: bytes | None
    rater: str

    def says(self, content_digest: bytes) -> bool:
        """Whether it has this content."""
        return self.content_digest in (None, content_digest)


class NewDeadLetter(msgspec.Struct, frozen=True):
    """A refused record with its encrypted body."""

    position: Position
    reason: str
    detail: str
    body: bytes | None


def insert_responses(
    connection: Connection, items: Iterable[NewResponse], *, now_s: float, shares_id: bool = False
) -> set[Key]:
    """Insert responses; returns the keys that were new. The caller passes each key once.

    Parameters
    ----------
    shares_id
        Whether they came under an id that another content had before.
    """
    rows = sorted((_response_row(item, now_s, shares_id) for item in items), key=_by_key)
    new = insert_many(connection, responses, _RESPONSE_COLUMNS, rows, ("assistant", "response_id"))
    return {(a, r) for a, r in new}


def insert_feedback(
    connection: Connection,
    items: Iterable[NewFeedback],
    known: Collection[Key],
    *,
    now_s: float,
    ambiguous: Collection[Key] = (),
) -> set[Key]:
    """Insert feedback in its state; returns the new keys. The caller passes each key once.

    Parameters
    ----------
    known, ambiguous
        The responses that are in the store, and those of them that share their id with another.
    """
    rows = sorted(
        (_feedback_row(item, feedback_state(item, known, ambiguous), now_s) for item in items),
        key=_by_key,
    )
    new = insert_many(connection, feedback, _FEEDBACK_COLUMNS, rows, ("assistant", "feedback_id"))
    return {(a, f) for a, f in new}


def feedback_state(item: NewFeedback, known: Collection[Key], ambiguous: Collection[Key]) -> str:
    """What becomes of feedback when these responses are known."""
    if item.response_key in ambiguous:
        return AMBIGUOUS
    return MATCHED if item.response_key in known else PARKED


def insert_duplicates(connection: Connection, at: Mapping[Position, bool], *, now_s: float) -> None:
    """Count records whose key was accepted before, and whether each said something else than that one."""
    names = (*_POSITION, "received_at_s", "other_content")
    rows = [(*msgspec.structs.astuple(position), now_s, other) for position, other in at.items()]
    insert_many(connection, duplicates, names, rows, _POSITION)


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


def known_responses(connection: Connection, keys: Iterable[Key]) -> dict[Key, KnownResponse]:
    """Those of these responses that are in the store."""
    wanted = key_rows(connection, sorted(set(keys)))
    here = and_(*(c == w for c, w in zip(_RESPONSE_KEY, wanted.c, strict=True)))
    columns = (responses.c.content_digest, responses.c.shares_id)
    query = select(*_RESPONSE_KEY, *columns).select_from(wanted.join(responses, here))
    return {
        (a, r): KnownResponse(digest, shares) for a, r, digest, shares in connection.execute(query)
    }


def stored_contents(
    connection: Connection, contents: Collection[tuple[Key, bytes]]
) -> set[tuple[Key, bytes]]:
    """Which of these contents are in the store, under their id or under the key that keeps them apart."""
    if not contents:
        return set()
    apart = {((key[0], other_name(key[1], said)), said): (key, said) for key, said in contents}
    keys = [key for key, _ in (*contents, *apart)]
    known = known_responses(connection, keys)
    found = {(key, said) for key, said in contents if key in known and known[key].says(said)}
    return found | {
        content for (key, said), content in apart.items() if key in known and known[key].says(said)
    }


def known_feedback(connection: Connection, keys: Iterable[Key]) -> dict[Key, KnownFeedback]:
    """Those of this feedback that are in the store."""
    wanted = key_rows(connection, sorted(set(keys)))
    here = and_(*(c == w for c, w in zip(_FEEDBACK_KEY, wanted.c, strict=True)))
    columns = (feedback.c.content_digest, feedback.c.rater)
    query = select(*_FEEDBACK_KEY, *columns).select_from(wanted.join(feedback, here))
    return {
        (a, f): KnownFeedback(digest, rater) for a, f, digest, rater in connection.execute(query)
    }


def match_parked(connection: Connection, keys: Iterable[Key]) -> list[Key]:
    """Mark parked feedback on these responses as matched; returns its responses, one entry for each."""
    if connection.execute(select(feedback.c.state).where(is_parked).limit(1)).first() is None:
        return []
    found = _feedback_on(connection, keys, is_parked)
    set_state(connection, [key for key, _ in found], MATCHED)
    return [response for _, response in found]


def part_ways(connection: Connection, keys: Collection[Key]) -> list[Key]:
    """Flag responses under whose id another content came, and take their feedback from them.

    Returns the responses that matched feedback was taken from, one entry for each.
    """
    connection.execute(
        update(responses)
        .where(responses.c.assistant == bindparam("a"), responses.c.response_id == bindparam("r"))
        .values(shares_id=True),
        [{"a": assistant, "r": response_id} for assistant, response_id in sorted(keys)],
    )
    matched = _feedback_on(connection, keys, feedback.c.state == MATCHED)
    parked = _feedback_on(connection, keys, is_parked)
    set_state(connection, [key for key, _ in (*matched, *parked)], AMBIGUOUS)
    return [response for _, response in matched]


def set_state(connection: Connection, keys: Collection[Key], state: str) -> None:
    """Move feedback, by its own keys, into a state."""
    if keys:
        connection.execute(
            update(feedback)
            .where(feedback.c.assistant == bindparam("a"), feedback.c.feedback_id == bindparam("f"))
            .values(state=state),
            [{"a": assistant, "f": feedback_id} for assistant, feedback_id in sorted(keys)],
        )


def other_name(name: str, mark: bytes | str) -> str:
    """The key of a record that came under a known id, kept apart by a mark of its content or its rater."""
    return f"{name[:_NAME_KEPT]}~{digest(name, mark)[:_MARK_DIGITS]}"


def response_digest(response: Response) -> bytes:
    """What two records of one id have in common when one repeats the other.

    Ids of calls and what stands beside results are left out: a span and an event of one turn, or a
    sender of another version, may tell more or less of them.
    """
    said = msgspec.json.encode((response.model, [_as_said(m) for m in response.messages]))
    return hashlib.blake2b(said, digest_size=16).digest()


def feedback_digest(given: Feedback) -> bytes:
    """As `response_digest`; the rater is compared apart, since pseudonyms may be renamed."""
    said = msgspec.json.encode((given.response_id, given.value, given.kind, given.text))
    return hashlib.blake2b(said, digest_size=16).digest()


def _as_said(message: Message) -> Message:
    if message.result is None and not message.tool_calls:
        return message
    calls = tuple(ToolCall(call.name, call.arguments) for call in message.tool_calls)
    return msgspec.structs.replace(message, tool_calls=calls, result=None)


def pack_body(response: Response) -> bytes:
    """The stored form of a response: JSON, compressed where that pays."""
    body = msgspec.json.encode(response)
    return body if len(body) < _WORTH_COMPRESSING_BYTES else zlib.compress(body, 6)


def unpack_body(body: bytes) -> Response:
    """The response in a stored body."""
    return msgspec.json.decode(unpacked(body), type=Response)


def unpacked(body: bytes) -> bytes:
    """The JSON text of a stored body."""
    return body if body.startswith(b"{") else zlib.decompress(body)


def _feedback_on(
    connection: Connection, keys: Iterable[Key], condition: ColumnElement[bool]
) -> list[tuple[Key, Key]]:
    """(feedback, response) of the feedback on these responses that meets the condition."""
    wanted = key_rows(connection, sorted(keys))
    here = and_(
        feedback.c.assistant == wanted.c.first, feedback.c.response_id == wanted.c.second, condition
    )
    query = select(*_FEEDBACK_KEY, feedback.c.response_id).select_from(wanted.join(feedback, here))
    return [((a, f), (a, r)) for a, f, r in connection.execute(query)]


def _response_row(item: NewResponse, now_s: float, shares_id: bool) -> tuple[Any, ...]:
    response, at = item.response, item.position
    stratum = response.stratum
    return (
        stratum.assistant,
        response.response_id,
        stratum.key,
        stratum.segment,
        stratum.stakes.value,
        response.model,
        response.conversation_id,
        response.rater,
        response.created_at_s,
        item.u,
        item.pi_arrival,
        item.pi_feedback,
        None if item.sampled_by is None else item.sampled_by.value,
        item.skip_reason,
        pack_body(response),
        item.content_digest,
        at.cluster_id,
        at.topic,
        at.partition,
        at.offset,
        now_s,
        shares_id,
    )


def _feedback_row(item: NewFeedback, state: str, now_s: float) -> tuple[Any, ...]:
    given, at = item.feedback, item.position
    return (
        given.assistant,
        given.feedback_id,
        given.response_id,
        given.rater,
        given.created_at_s,
        given.value,
        given.kind,
        given.text,
        state,
        item.content_digest,
        at.cluster_id,
        at.topic,
        at.partition,
        at.offset,
        now_s,
    )


_by_key = operator.itemgetter(0, 1)
_POSITION = ("cluster_id", "topic", "partition", "offset")
_RESPONSE_COLUMNS = (
    "assistant",
    "response_id",
    "stratum",
    "segment",
    "stakes",
    "model",
    "conversation_id",
    "rater",
    "created_at_s",
    "u",
    "pi_arrival",
    "pi_feedback",
    "sampled_by",
    "skip_reason",
    "body",
    "content_digest",
    *_POSITION,
    "received_at_s",
    "shares_id",
)
_FEEDBACK_COLUMNS = (
    "assistant",
    "feedback_id",
    "response_id",
    "rater",
    "created_at_s",
    "value",
    "kind",
    "text",
    "state",
    "content_digest",
    *_POSITION,
    "received_at_s",
)
