"""Responses that people are to read, what each said already, and taking a label back."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import Connection, delete, exists, func, select

from evidence import VerdictKind
from monitor.store import audit
from monitor.store.schema import is_live, labels, responses, review_queue, verdicts


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A response that may be read: by its live verdict. `inclusion_probability` is that of a queue that
    chose it at random, None where none did; `p_lie` the verdict's, where the queue needs it."""

    key: str
    assistant: str
    response_id: str
    inclusion_probability: float | None = None
    p_lie: float | None = None


class SharedLabel(msgspec.Struct, frozen=True):
    """What one person said of a response that others labelled, too."""

    assistant: str
    response_id: str
    labeller: str
    kind: str


def unread(
    connection: Connection,
    *,
    assistant: str | None,
    since_s: float,
    until_s: float,
    kinds: Collection[VerdictKind] = (),
    at_random: bool = False,
    limit: int,
) -> list[Candidate]:
    """The newest live verdicts of a period whose response is kept and has no label of anybody.

    `at_random`: labels that no random audit asked for do not count, else what was read out of suspicion
    would be missing in the audit, and the audit would be of the unsuspicious.
    """
    labelled = exists().where(
        labels.c.assistant == verdicts.c.assistant, labels.c.response_id == verdicts.c.response_id
    )
    if at_random:
        labelled = labelled.where(labels.c.inclusion_probability.is_not(None))
    same = (responses.c.assistant == verdicts.c.assistant) & (
        responses.c.response_id == verdicts.c.response_id
    )
    query = (
        select(verdicts.c.key, verdicts.c.assistant, verdicts.c.response_id, verdicts.c.p_lie)
        .select_from(verdicts.join(responses, same))
        .where(
            responses.c.body.is_not(None),
            is_live,
            verdicts.c.scored_at_s >= since_s,
            verdicts.c.scored_at_s < until_s,
            ~labelled,
        )
    )
    if assistant is not None:
        query = query.where(verdicts.c.assistant == assistant)
    if kinds:
        query = query.where(verdicts.c.kind.in_([kind.value for kind in kinds]))
    order = (verdicts.c.scored_at_s.desc(), verdicts.c.key.desc())
    rows = connection.execute(query.order_by(*order).limit(limit)).mappings()
    return [Candidate(**row) for row in rows]


def released_unread(
    connection: Connection, *, assistants: Collection[str] | None, limit: int
) -> list[Candidate]:
    """Released rows that wait, oldest release first, by the live verdict of their response."""
    table = review_queue.c
    labelled = exists().where(
        labels.c.assistant == table.assistant, labels.c.response_id == table.response_id
    )
    query = (
        select(
            verdicts.c.key,
            table.assistant,
            table.response_id,
        )
        .join(
            verdicts,
            verdicts.c.live_slot == table.assistant + "/" + table.response_id,
        )
        .where(~labelled)
        .order_by(table.queued_at_s, table.id)
    )
    if assistants is not None:
        query = query.where(table.assistant.in_(list(assistants)))
    return [Candidate(**row) for row in connection.execute(query.limit(limit)).mappings()]


def labelled_once(
    connection: Connection, *, assistants: Collection[str] | None, labeller: str, limit: int
) -> list[Candidate]:
    """Responses that one other person labelled, newest label first: for a second pair of eyes. Each keeps the
    probability with which it was chosen."""
    other = labels.alias("other")
    more = exists().where(
        other.c.assistant == labels.c.assistant,
        other.c.response_id == labels.c.response_id,
        other.c.labeller != labels.c.labeller,
    )
    query = (
        select(
            verdicts.c.key,
            labels.c.assistant,
            labels.c.response_id,
            labels.c.inclusion_probability,
        )
        .join(verdicts, verdicts.c.live_slot == labels.c.assistant + "/" + labels.c.response_id)
        .where(labels.c.labeller != labeller, ~more)
        .order_by(labels.c.at_s.desc(), labels.c.assistant, labels.c.response_id)
    )
    if assistants is not None:
        query = query.where(labels.c.assistant.in_(list(assistants)))
    return [Candidate(**row) for row in connection.execute(query.limit(limit)).mappings()]


def shared_labels(
    connection: Connection, *, assistants: Collection[str] | None, limit: int
) -> list[SharedLabel]:
    """The newest labels of responses that several people labelled."""
    other = labels.alias("other")
    shared = exists().where(
        other.c.assistant == labels.c.assistant,
        other.c.response_id == labels.c.response_id,
        other.c.labeller != labels.c.labeller,
    )
    query = select(
        labels.c.assistant, labels.c.response_id, labels.c.labeller, labels.c.kind
    ).where(shared)
    if assistants is not None:
        query = query.where(labels.c.assistant.in_(list(assistants)))
    rows = connection.execute(query.order_by(labels.c.at_s.desc()).limit(limit))
    return [SharedLabel(*row) for row in rows]


def known_probability(connection: Connection, assistant: str, response_id: str) -> float | None:
    """With which a random audit that was labelled before chose this response."""
    query = select(func.max(labels.c.inclusion_probability)).where(
        labels.c.assistant == assistant, labels.c.response_id == response_id
    )
    return connection.execute(query).scalar()


def take_back(
    connection: Connection, assistant: str, response_id: str, labeller: str, *, at_s: float
) -> bool:
    """Remove a person's own label, audited; False where they gave none."""
    gone = connection.execute(
        delete(labels).where(
            labels.c.assistant == assistant,
            labels.c.response_id == response_id,
            labels.c.labeller == labeller,
        )
    )
    if not gone.rowcount:
        return False
    audit.append(
        connection,
        by=labeller,
        action="label.take_back",
        subject=f"{assistant}/{response_id}",
        details={"labeller": labeller},
        at_s=at_s,
    )
    return True
