"""What time and races leave behind: parked feedback, the feedback sample, bodies past their retention."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, exists, select, tuple_, update

from evidence import Response, SampledBy
from monitor.store.intake import Key, unpack_body
from monitor.store.schema import dead_letters, feedback, outbox, responses, verdicts


class Unmeasured(msgspec.Struct, frozen=True):
    """A sampled response without a live verdict, and the probability it was sampled with."""

    response: Response
    sampled_by: SampledBy
    inclusion_probability: float


def match_late(connection: Connection) -> list[Key]:
    """Match parked feedback whose response was written by another transaction at the same time.

    Returns the responses, one entry for each feedback.
    """
    matched = connection.execute(
        update(feedback)
        .where(feedback.c.state == "parked", exists().where(_same_response()))
        .values(state="matched")
        .returning(feedback.c.assistant, feedback.c.response_id)
    )
    return [(a, r) for a, r in matched]


def orphan(connection: Connection, *, before_s: float) -> int:
    """Give up feedback that was received before a time and still waits for its response."""
    return connection.execute(
        update(feedback)
        .where(feedback.c.state == "parked", feedback.c.received_at_s < before_s)
        .values(state="orphan")
    ).rowcount


def take_feedback_sample(connection: Connection, keys: Sequence[Key]) -> int:
    """Put those of the responses into the feedback sample that are skipped, rated, and have u <= pi_1."""
    if not keys:
        return 0
    table = responses.c
    rated = exists().where(_same_response(), feedback.c.state == "matched")
    return connection.execute(
        update(responses)
        .where(
            tuple_(table.assistant, table.response_id).in_(sorted(set(keys))),
            table.sampled_by.is_(None),
            table.u <= table.pi_feedback,
            table.body.is_not(None),
            rated,
        )
        .values(sampled_by=SampledBy.FEEDBACK.value, skip_reason=None)
    ).rowcount


def unmeasured_feedback_sample(connection: Connection, limit: int) -> list[Unmeasured]:
    """Responses of the feedback sample that wait for their verdict, oldest first."""
    table = responses.c
    measured = exists().where(
        verdicts.c.assistant == table.assistant,
        verdicts.c.response_id == table.response_id,
        verdicts.c.live_slot.is_not(None),
    )
    query = (
        select(table.body, table.pi_feedback)
        .where(table.sampled_by == SampledBy.FEEDBACK.value, table.body.is_not(None), ~measured)
        .order_by(table.received_at_s, table.assistant, table.response_id)
        .limit(limit)
    )
    return [
        Unmeasured(unpack_body(row.body), SampledBy.FEEDBACK, row.pi_feedback)
        for row in connection.execute(query)
    ]


def drop_bodies(
    connection: Connection, *, skipped_before_s: float, dead_letters_before_s: float
) -> tuple[int, int]:
    """Forget the bodies of skipped responses and of dead letters past their retention."""
    skipped = connection.execute(
        update(responses)
        .where(
            responses.c.sampled_by.is_(None),
            responses.c.received_at_s < skipped_before_s,
            responses.c.body.is_not(None),
        )
        .values(body=None)
    ).rowcount
    dead = connection.execute(
        update(dead_letters)
        .where(
            dead_letters.c.received_at_s < dead_letters_before_s, dead_letters.c.body.is_not(None)
        )
        .values(body=None)
    ).rowcount
    return skipped, dead


def prune_outbox(connection: Connection, *, keep: Sequence[str], before_s: float) -> int:
    """Delete published copies older than a time, except of the topics in `keep`."""
    return connection.execute(
        outbox.delete().where(
            outbox.c.published_cluster_id.is_not(None),
            outbox.c.created_at_s < before_s,
            outbox.c.topic.not_in(list(keep)),
        )
    ).rowcount


def _same_response() -> ColumnElement[bool]:
    return and_(
        feedback.c.assistant == responses.c.assistant,
        feedback.c.response_id == responses.c.response_id,
    )
