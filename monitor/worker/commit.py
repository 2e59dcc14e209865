"""The transaction of one chunk: effects, outbox rows and the input offset, all or nothing."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import msgspec
from cryptography.fernet import Fernet
from sqlalchemy import Connection, Engine

from evidence import Feedback, Purpose, Response, SampledBy, Verdict
from monitor.ingest.records import DeadLetter, DeadLetterReason
from monitor.jobs.metrics import WorkerMetrics
from monitor.score import make_verdict
from monitor.store import intake, offsets, outbox, sweeps, verdicts
from monitor.store.forget import forgotten
from monitor.store.intake import NewDeadLetter, NewFeedback, NewResponse, Position
from monitor.store.offsets import Claim
from monitor.worker.plan import Chunk, Item


class UnmeasuredError(Exception):
    """A sampled response was passed over as a duplicate, but it is new: it has to be measured."""


@dataclasses.dataclass(slots=True)
class Effects:
    """What a committed chunk did, for metrics and for the work that follows."""

    topic: str
    n_records: int
    sampled: Counter[str] = dataclasses.field(default_factory=Counter)
    skipped: Counter[str] = dataclasses.field(default_factory=Counter)
    feedback: Counter[str] = dataclasses.field(default_factory=Counter)
    dead_letters: Counter[str] = dataclasses.field(default_factory=Counter)
    verdicts: Counter[str] = dataclasses.field(default_factory=Counter)
    canaries: Counter[str] = dataclasses.field(default_factory=Counter)
    n_duplicates: int = 0
    n_feedback_sampled: int = 0

    def count(self, metrics: WorkerMetrics) -> None:
        """Report to the metrics, once the transaction is durable."""
        metrics.seen(self.topic, self.n_records)
        for counter, method in (
            (self.sampled, metrics.sampled),
            (self.skipped, metrics.skipped),
            (self.feedback, metrics.feedback),
            (self.dead_letters, metrics.dead_letter),
            (self.verdicts, metrics.verdict),
        ):
            for name, n in counter.items():
                method(name, n)
        for kind, n in self.canaries.items():
            metrics.extra_verdict(Purpose.CANARY.value, kind, n)
        if self.n_duplicates:
            metrics.duplicate(self.topic, self.n_duplicates)
        if self.n_feedback_sampled:
            metrics.sampled(SampledBy.FEEDBACK.value, self.n_feedback_sampled)


def commit_chunk(
    engine: Engine, claim: Claim, chunk: Chunk, *, cipher: Fernet, now_s: float
) -> tuple[Claim, Effects]:
    """Write a ready chunk; returns the claim at its next offset.

    Nothing is written when it raises: FencedError when the claim is not the newest, UnmeasuredError
    when a sampled response without an assessment is no duplicate after all.
    """
    effects = Effects(chunk.partition.topic, chunk.n_records)
    with engine.begin() as connection:
        moved = offsets.advance(connection, claim, chunk.next_offset, now_s=now_s)
        items = _refuse_forgotten(connection, chunk.items)
        _write_dead_letters(connection, _letters(claim, items, cipher), effects, now_s)
        first, repeated = _first_of_each_key(items)
        repeated += _write_responses(connection, claim, first, effects, now_s)
        repeated += _write_feedback(connection, claim, first, effects, now_s)
        intake.insert_duplicates(
            connection, [_position(claim, item) for item in repeated], now_s=now_s
        )
        effects.n_duplicates = len(repeated)
    return moved, effects


def write_verdicts(
    connection: Connection, made: Sequence[Verdict], effects: Counter[str], *, now_s: float
) -> None:
    """Insert verdicts in source order, log those that move detectors, queue those that count."""
    kept = verdicts.insert_verdicts(connection, made)
    new = [verdict for verdict in made if verdict.key in kept]
    verdicts.append_log(connection, new)
    outbox.add(
        connection,
        outbox.VERDICTS_TOPIC,
        [(v.stratum.key.encode(), msgspec.json.encode(v)) for v in new],
        now_s=now_s,
    )
    effects.update(verdict.assessment.kind.value for verdict in new)


def _refuse_forgotten(connection: Connection, items: Sequence[Item]) -> list[Item]:
    """Records of users who were forgotten, also while they were in work: accounted for, not kept."""
    raters = {i.outcome.rater for i in items if not isinstance(i.outcome, DeadLetter)}
    gone = forgotten(connection, raters)
    return [
        Item(item.offset, DeadLetter(DeadLetterReason.FORGOTTEN, "the user was forgotten"))
        if not isinstance(item.outcome, DeadLetter) and item.outcome.rater in gone
        else item
        for item in items
    ]


def _first_of_each_key(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    first: dict[tuple[str, tuple[str, str]], Item] = {}
    repeated = []
    for item in items:
        if item.key is None:
            continue
        key = (type(item.outcome).__name__, item.key)
        if key in first:
            repeated.append(item)
        else:
            first[key] = item
    return list(first.values()), repeated


def _write_responses(
    connection: Connection, claim: Claim, items: Sequence[Item], effects: Effects, now_s: float
) -> list[Item]:
    rows = {row.key: (item, row) for item in items if (row := _new_response(claim, item))}
    if not rows:
        return []
    new = intake.insert_responses(connection, [row for _, row in rows.values()], now_s=now_s)
    made, canaries = [], []
    for key, (item, row) in rows.items():
        if key not in new:
            continue
        if item.is_canary:
            canaries.append(_verdict(item, row))
        elif row.sampled_by is None:
            effects.skipped[row.skip_reason or ""] += 1
        else:
            effects.sampled[row.sampled_by.value] += 1
            made.append(_verdict(item, row))
    write_verdicts(connection, made, effects.verdicts, now_s=now_s)
    write_verdicts(connection, canaries, effects.canaries, now_s=now_s)
    effects.feedback["matched"] += intake.match_parked(connection, new)
    skipped = [key for key in new if rows[key][1].sampled_by is None]
    effects.n_feedback_sampled += sweeps.take_feedback_sample(connection, skipped)
    return [item for key, (item, _) in rows.items() if key not in new]


def _write_feedback(
    connection: Connection, claim: Claim, items: Sequence[Item], effects: Effects, now_s: float
) -> list[Item]:
    rows = {
        item.key: (item, NewFeedback(item.outcome, _position(claim, item)))
        for item in items
        if isinstance(item.outcome, Feedback)
    }
    if not rows:
        return []
    given = [row for _, row in rows.values()]
    known = intake.known_responses(connection, [row.response_key for row in given])
    new = intake.insert_feedback(connection, given, known, now_s=now_s)
    for row in given:
        if row.key in new:
            effects.feedback["matched" if row.response_key in known else "parked"] += 1
    matched = {row.response_key for row in given if row.key in new} & known
    effects.n_feedback_sampled += sweeps.take_feedback_sample(connection, sorted(matched))
    return [item for key, (item, _) in rows.items() if key not in new]


def _letters(claim: Claim, items: Sequence[Item], cipher: Fernet) -> list[NewDeadLetter]:
    return [
        NewDeadLetter(
            position=_position(claim, item),
            reason=item.outcome.reason.value,
            detail=item.outcome.detail,
            body=cipher.encrypt(item.raw) if item.raw else None,
        )
        for item in items
        if isinstance(item.outcome, DeadLetter)
    ]


def _write_dead_letters(
    connection: Connection, letters: Sequence[NewDeadLetter], effects: Effects, now_s: float
) -> None:
    intake.insert_dead_letters(connection, letters, now_s=now_s)
    # The copy on the topic says where and why, never what: the body stays encrypted in the store.
    copies = [
        {
            **msgspec.structs.asdict(letter.position),
            "reason": letter.reason,
            "detail": letter.detail,
        }
        for letter in letters
    ]
    outbox.add(
        connection,
        outbox.DEAD_LETTERS_TOPIC,
        [(None, msgspec.json.encode(copy)) for copy in copies],
        now_s=now_s,
    )
    effects.dead_letters.update(letter.reason for letter in letters)


def _new_response(claim: Claim, item: Item) -> NewResponse | None:
    if not isinstance(item.outcome, Response) or item.decision is None:
        return None
    decision = item.decision
    return NewResponse(
        response=item.outcome,
        position=_position(claim, item),
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


def _position(claim: Claim, item: Item) -> Position:
    return Position(claim.cluster_id, claim.topic, claim.partition, item.offset)
