"""Feedback that was given on one response, and by one rater."""

from __future__ import annotations

import msgspec
from sqlalchemy import ColumnElement, Connection, select

from monitor.store.schema import feedback, verdicts
from monitor.store.verdicts import live_slot


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of feedback; `kind` is that of the verdict on its response, None where there is none."""

    feedback_id: str
    response_id: str
    rater: str
    created_at_s: float
    value: float
    signal: str
    text: str | None
    state: str
    verdict_key: str | None = None
    kind: str | None = None
    p_lie: float | None = None


def given_on(
    connection: Connection, assistant: str, response_id: str, *, limit: int
) -> list[Given]:
    """What users said of a response, newest first."""
    return _read(
        connection,
        (feedback.c.assistant == assistant) & (feedback.c.response_id == response_id),
        limit,
    )


def given_by(connection: Connection, assistant: str, rater: str, *, limit: int) -> list[Given]:
    """What one rater said of an assistant's responses, newest first."""
    return _read(
        connection, (feedback.c.rater == rater) & (feedback.c.assistant == assistant), limit
    )


def live_verdict(connection: Connection, assistant: str, response_id: str) -> str | None:
    """Key of the live verdict of a response; None where there is none."""
    slot = live_slot(assistant, response_id)
    return connection.execute(select(verdicts.c.key).where(verdicts.c.live_slot == slot)).scalar()


def _read(connection: Connection, which: ColumnElement[bool], limit: int) -> list[Given]:
    table = feedback.c
    # By the unique slot: a response has one live verdict.
    slot = table.assistant + "/" + table.response_id
    query = (
        select(
            table.feedback_id,
            table.response_id,
            table.rater,
            table.created_at_s,
            table.value,
            table.kind.label("signal"),
            table.text,
            table.state,
            verdicts.c.key.label("verdict_key"),
            verdicts.c.kind,
            verdicts.c.p_lie,
        )
        .select_from(feedback.outerjoin(verdicts, verdicts.c.live_slot == slot))
        .where(which)
        .order_by(table.created_at_s.desc(), table.feedback_id)
        .limit(limit)
    )
    return [Given(**row) for row in connection.execute(query).mappings()]
