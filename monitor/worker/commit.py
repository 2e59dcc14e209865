"""The transaction of one chunk: effects, outbox rows and the input offset, all or nothing."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from cryptography.fernet import Fernet
from sqlalchemy import Connection, Engine

from monitor.ingest.parts import Part
from monitor.ingest.records import DeadLetter, DeadLetterReason
from monitor.store import intake, offsets, outbox
from monitor.store.forget import forgotten
from monitor.store.intake import NewDeadLetter, Position
from monitor.store.offsets import Claim
from monitor.worker.accept import At, write_feedback, write_responses
from monitor.worker.effects import Effects
from monitor.worker.plan import Chunk, Item


def commit_chunk(
    engine: Engine, claim: Claim, chunk: Chunk, *, cipher: Fernet, now_s: float, since_s: float
) -> tuple[Claim, Effects]:
    """Write a ready chunk; returns the claim at its next offset.

    Nothing is written when it raises: FencedError when the claim is not the newest, UnmeasuredError
    when a sampled response without an assessment is no duplicate after all.

    Parameters
    ----------
    since_s
        The feedback horizon: responses received before it are no longer sampled by feedback.
    """
    effects = Effects(chunk.partition.topic, chunk.n_records)
    with engine.begin() as connection:
        moved = offsets.advance(connection, claim, chunk.next_offset, now_s=now_s)
        at = At(connection, claim, effects, now_s, since_s)
        items = _refuse_forgotten(connection, chunk.items)
        _write_dead_letters(connection, _letters(claim, items, cipher), effects, now_s)
        repeated = write_responses(at, items) | write_feedback(at, items)
        intake.insert_duplicates(connection, repeated, now_s=now_s)
        effects.n_duplicates = len(repeated)
        effects.n_conflicts += sum(repeated.values())
    return moved, effects


def _refuse_forgotten(connection: Connection, items: Sequence[Item]) -> list[Item]:
    """Records of users who were forgotten, also while they were in work: accounted for, not kept."""
    accepted = [i.outcome for i in items if not isinstance(i.outcome, DeadLetter | Part)]
    raters = {one.rater for one in accepted}
    gone = forgotten(connection, raters)
    if not gone:
        return list(items)
    return [
        Item(item.offset, DeadLetter(DeadLetterReason.FORGOTTEN, "the user was forgotten"))
        if not isinstance(item.outcome, DeadLetter | Part) and item.outcome.rater in gone
        else item
        for item in items
    ]


def _letters(claim: Claim, items: Sequence[Item], cipher: Fernet) -> list[NewDeadLetter]:
    """A letter for each refused item; of one record the first alone has the body, which is kept once."""
    letters: list[NewDeadLetter] = []
    with_body: set[int] = set()
    for item in items:
        if not isinstance(item.outcome, DeadLetter):
            continue
        raw = None if item.offset in with_body else item.raw
        with_body.add(item.offset)
        letters.append(
            NewDeadLetter(
                position=Position(claim.cluster_id, claim.topic, claim.partition, item.offset),
                reason=item.outcome.reason.value,
                detail=item.outcome.detail,
                body=cipher.encrypt(raw) if raw else None,
            )
        )
    return letters


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
