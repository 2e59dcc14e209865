"""Accepted records of a chunk: each once, and those that share an id but not their content kept apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from evidence import Feedback, Response, SampledBy, Verdict
from monitor.score.verdict import make_verdict
from monitor.store import intake, rated
from monitor.store.intake import Key, NewFeedback, NewResponse, Position
from monitor.store.offsets import Claim
from monitor.worker.effects import Effects, write_verdicts
from monitor.worker.plan import Item


class UnmeasuredError(Exception):
    """A sampled response was passed over as a duplicate, but it is new: it has to be measured."""


@dataclasses.dataclass(frozen=True, slots=True)
class At:
    """The transaction of a chunk: where it writes, whose partition, what it did, and when.

    Feedback samples no response that was received before `since_s`.
    """

    connection: Connection
    claim: Claim
    effects: Effects
    now_s: float
    since_s: float

    def position(self, item: Item) -> Position:
        claim = self.claim
        return Position(claim.cluster_id, claim.topic, claim.partition, item.offset)


Repeated = dict[Position, bool]
"""Records whose key was accepted before, and whether each said something else than that one."""


class _Keyed(Protocol):
    @property
    def key(self) -> Key: ...


_New = TypeVar("_New", bound=_Keyed)


@dataclasses.dataclass(frozen=True, slots=True)
class _Measured:
    """A new response with the item that it came in."""

    item: Item
    new: NewResponse

    @property
    def key(self) -> Key:
        return self.new.key


def write_responses(at: At, items: Sequence[Item]) -> Repeated:
    """Insert the responses of a chunk with their verdicts; returns those that repeat another."""
    given = [
        _Measured(item, _new_response(at, item, item.outcome))
        for item in items
        if isinstance(item.outcome, Response) and item.decision is not None
    ]
    kept, left = _insert_responses(at, given)
    repeated, apart = _told_apart(at, left)
    if apart:
        also, again = _insert_responses(at, apart, shares_id=True)
        kept += also
        repeated |= {one.new.position: False for one in again}
        _part_ways(at, also)
    _write_verdicts(at, kept)
    matched = intake.match_parked(at.connection, (one.key for one in kept)) if kept else []
    at.effects.feedback[intake.MATCHED] += len(matched)
    at.effects.n_feedback_sampled += rated.on_matched(at.connection, matched, since_s=at.since_s)
    return repeated


def write_feedback(at: At, items: Sequence[Item]) -> Repeated:
    """Insert the feedback of a chunk and what follows from it; returns what repeats another."""
    given = [
        NewFeedback(item.outcome, at.position(item))
        for item in items
        if isinstance(item.outcome, Feedback)
    ]
    if not given:
        return {}
    rated.lock_rated(at.connection, {row.feedback.assistant for row in given})
    known = intake.known_responses(at.connection, [row.response_key for row in given])
    ambiguous = {key for key, found in known.items() if found.shares_id}
    kept, left = _insert_feedback(at, given, known, ambiguous)
    repeated: Repeated = {}
    apart = []
    stored = intake.known_feedback(at.connection, [row.key for row in left]) if left else {}
    for row in left:
        found = stored[row.key]
        if found.rater == row.feedback.rater:
            repeated[row.position] = not found.says(row.content_digest)
        else:
            name = intake.other_name(row.feedback.feedback_id, row.feedback.rater)
            renamed = msgspec.structs.replace(row.feedback, feedback_id=name)
            apart.append(msgspec.structs.replace(row, feedback=renamed))
    if apart:
        also, again = _insert_feedback(at, apart, known, ambiguous)
        kept += also
        at.effects.n_conflicts += len(also)
        stored = intake.known_feedback(at.connection, [row.key for row in again]) if again else {}
        repeated |= {row.position: not stored[row.key].says(row.content_digest) for row in again}
    states = [intake.feedback_state(row, known, ambiguous) for row in kept]
    at.effects.feedback.update(states)
    matched = [
        row.response_key for row, state in zip(kept, states, strict=True) if state == intake.MATCHED
    ]
    at.effects.n_feedback_sampled += rated.on_matched(at.connection, matched, since_s=at.since_s)
    return repeated


def _insert_responses(
    at: At, given: Sequence[_Measured], *, shares_id: bool = False
) -> tuple[list[_Measured], list[_Measured]]:
    """Those that were new, and the others."""
    if not given:
        return [], []
    first, later = _first_of_each_key(given)
    rows = [one.new for one in first.values()]
    new = intake.insert_responses(at.connection, rows, now_s=at.now_s, shares_id=shares_id)
    return _split(first, later, new)


def _insert_feedback(
    at: At, given: Sequence[NewFeedback], known: Collection[Key], ambiguous: Collection[Key]
) -> tuple[list[NewFeedback], list[NewFeedback]]:
    """Those that were new, and the others."""
    first, later = _first_of_each_key(given)
    new = intake.insert_feedback(
        at.connection, first.values(), known, now_s=at.now_s, ambiguous=ambiguous
    )
    return _split(first, later, new)


def _first_of_each_key(given: Iterable[_New]) -> tuple[dict[Key, _New], list[_New]]:
    first: dict[Key, _New] = {}
    later = [one for one in given if first.setdefault(one.key, one) is not one]
    return first, later


def _split(
    first: dict[Key, _New], later: list[_New], new: Collection[Key]
) -> tuple[list[_New], list[_New]]:
    """Those that were new, and the others."""
    if len(new) == len(first):
        return list(first.values()), later
    kept = [one for key, one in first.items() if key in new]
    return kept, [*later, *(one for key, one in first.items() if key not in new)]


def _told_apart(at: At, left: Sequence[_Measured]) -> tuple[Repeated, list[_Measured]]:
    """What repeats a stored response, and what only has its id: under a key of its own."""
    if not left:
        return {}, []
    stored = intake.known_responses(at.connection, [one.key for one in left])
    repeated: Repeated = {}
    apart = []
    for one in left:
        new = one.new
        if stored[one.key].says(new.content_digest):
            repeated[new.position] = False
            continue
        name = intake.other_name(new.response.response_id, new.content_digest)
        renamed = msgspec.structs.replace(new.response, response_id=name)
        apart.append(_Measured(one.item, msgspec.structs.replace(new, response=renamed)))
    return repeated, apart


def _part_ways(at: At, apart: Sequence[_Measured]) -> None:
    """Feedback on an id that two contents share is attributed to neither."""
    at.effects.n_conflicts += len(apart)
    named = {
        (one.key[0], one.item.outcome.response_id)
        for one in apart
        if isinstance(one.item.outcome, Response)
    }
    if not named:
        return
    rated.lock_rated(at.connection, {assistant for assistant, _ in named})
    taken = intake.part_ways(at.connection, named)
    rated.on_unmatched(at.connection, taken)
    at.effects.feedback[intake.AMBIGUOUS] += len(taken)


def _write_verdicts(at: At, kept: Sequence[_Measured]) -> None:
    made, canaries = [], []
    for one in kept:
        if not one.item.is_measured:
            at.effects.skipped[one.new.skip_reason or ""] += 1
        elif one.new.sampled_by is None:
            canaries.append(_verdict(one.item, one.new))
        else:
            at.effects.sampled[one.new.sampled_by.value] += 1
            made.append(_verdict(one.item, one.new))
    write_verdicts(at.connection, made, at.effects.verdicts, now_s=at.now_s)
    write_verdicts(at.connection, canaries, at.effects.canaries, now_s=at.now_s)


def _new_response(at: At, item: Item, response: Response) -> NewResponse:
    decision = item.decision
    assert decision is not None  # noqa: S101 -- every response is decided on
    return NewResponse(
        response=response,
        position=at.position(item),
        u=decision.u,
        pi_arrival=decision.pi_arrival,
        pi_feedback=decision.pi_feedback,
        sampled_by=decision.sampled_by,
        skip_reason=decision.skip_reason,
    )


def _verdict(item: Item, row: NewResponse) -> Verdict:
    if item.ticket is None or item.ticket.assessment is None:
        raise UnmeasuredError
    return make_verdict(
        row.response,
        item.ticket.assessment,
        sampled_by=row.sampled_by or SampledBy.ARRIVAL,
        # A canary is sent to be measured.
        inclusion_probability=1.0 if item.is_canary else row.pi_arrival,
        scored_at_s=item.ticket.scored_at_s,
        purpose=row.response.purpose,
    )
