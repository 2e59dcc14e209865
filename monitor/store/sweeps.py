"""What time and races leave behind: parked feedback, the feedback sample, bodies past their retention."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import Connection, and_, bindparam, or_, select, union_all, update

from evidence import Response, SampledBy
from monitor.store import intake
from monitor.store.explanations import drop_explanations
from monitor.store.intake import Key, unpack_body
from monitor.store.rated import lock_rated
from monitor.store.results import RESULT_TOPICS, is_wanted
from monitor.store.schema import (
    awaits_verdict,
    dead_letters,
    feedback,
    has_body,
    is_parked,
    is_skipped_with_body,
    outbox,
    responses,
)


class Unmeasured(msgspec.Struct, frozen=True):
    """A sampled response without a live verdict, and the probability it was sampled with."""

    response: Response
    sampled_by: SampledBy
    inclusion_probability: float


def match_late(connection: Connection, *, since_s: float, before_s: float) -> list[Key]:
    """Match parked feedback whose response was written by another transaction at the same time.

    Returns the responses of what was matched, one entry for each.

    Parameters
    ----------
    since_s, before_s
        Only feedback received from the one time on, when transactions may still have overlapped, or
        before the other, when it is about to be given up.
    """
    assistants = {assistant for (assistant, _), _, _ in _late(connection, since_s, before_s)}
    if not assistants:
        return []
    lock_rated(connection, assistants)
    late = _late(connection, since_s, before_s)
    intake.set_state(connection, [key for key, _, shared in late if not shared], intake.MATCHED)
    intake.set_state(connection, [key for key, _, shared in late if shared], intake.AMBIGUOUS)
    return [response for _, response, shared in late if not shared]


def orphan(connection: Connection, *, before_s: float) -> int:
    """Give up feedback that was received before a time and still waits for its response."""
    return connection.execute(
        update(feedback)
        .where(is_parked, feedback.c.received_at_s < before_s)
        .values(state="orphan")
    ).rowcount


def unmeasured_feedback_sample(connection: Connection, limit: int) -> list[Unmeasured]:
    """Responses of the feedback sample that wait for their verdict, oldest first."""
    table = responses.c
    query = (
        select(table.body, table.pi_feedback)
        .where(awaits_verdict, table.body.is_not(None))
        .order_by(table.received_at_s)
        .limit(limit)
    )
    return [
        Unmeasured(unpack_body(row.body), SampledBy.FEEDBACK, row.pi_feedback)
        for row in connection.execute(query)
    ]


def measured(connection: Connection, keys: Collection[Key]) -> None:
    """Responses of the feedback sample that have their verdict."""
    if keys:
        connection.execute(
            update(responses)
            .where(
                responses.c.assistant == bindparam("a"), responses.c.response_id == bindparam("r")
            )
            .values(awaits_verdict=False),
            [{"a": assistant, "r": response_id} for assistant, response_id in sorted(keys)],
        )


def drop_bodies(
    connection: Connection, *, skipped_before_s: float, dead_letters_before_s: float
) -> tuple[int, int]:
    """Forget the bodies of skipped responses, with what quotes them, and of dead letters past their retention."""
    old = select(responses.c.assistant, responses.c.response_id).where(
        is_skipped_with_body, responses.c.received_at_s < skipped_before_s
    )
    drop_explanations(connection, old)
    skipped = connection.execute(
        update(responses)
        .where(
            is_skipped_with_body,
            responses.c.received_at_s < skipped_before_s,
        )
        .values(body=None)
    ).rowcount
    dead = connection.execute(
        update(dead_letters)
        .where(dead_letters.c.received_at_s < dead_letters_before_s, has_body)
        .values(body=None)
    ).rowcount
    return skipped, dead


def prune_outbox(connection: Connection, *, keep: Sequence[str], before_s: float) -> int:
    """Delete published copies older than a time, except of the topics in `keep`, and of results that a
    receiver has not had yet."""
    return connection.execute(
        outbox.delete().where(
            outbox.c.published_cluster_id.is_not(None),
            outbox.c.created_at_s < before_s,
            outbox.c.topic.not_in(list(keep)),
            or_(outbox.c.topic.not_in(RESULT_TOPICS), ~is_wanted()),
        )
    ).rowcount


def _late(connection: Connection, since_s: float, before_s: float) -> list[tuple[Key, Key, bool]]:
    """(feedback, response, whether that shares its id) of parked feedback whose response is there."""
    here = and_(
        feedback.c.assistant == responses.c.assistant,
        feedback.c.response_id == responses.c.response_id,
    )
    columns = (
        feedback.c.assistant,
        feedback.c.feedback_id,
        feedback.c.response_id,
        responses.c.shares_id,
    )
    query = select(*columns).select_from(feedback.join(responses, here)).where(is_parked)
    at = feedback.c.received_at_s
    found = union_all(query.where(at >= since_s), query.where(at < before_s, at < since_s))
    return [((a, f), (a, r), shares) for a, f, r, shares in connection.execute(found)]
