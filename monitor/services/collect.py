"""Training rows from rated turns, with their provenance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Connection

from candor_guard.rows import ChatMessage, Provenance, Row
from evidence import BadInputError
from monitor.services.evidence import named_by
from monitor.services.gate import Gate, policy_of
from monitor.store.engine import reading
from monitor.store.rows import RatedTurn, rated_turns
from monitor.store.status import is_known_assistant
from retrain.context import GateContext
from retrain.policy import COLLECTED

Format = Literal["sft", "kto"]


def collect_rows(
    connection: Connection, assistant: str, *, form: Format = "sft", limit: int
) -> list[Row]:
    """The newest `limit` rows that feedback would train: liked turns (`sft`), or every signal with
    `label` whether it was a like (`kto`)."""
    turns = rated_turns(connection, assistant, liked_only=form == "sft", limit=limit)
    return [_row(turn, form) for turn in turns]


def collected(
    gate: Gate, assistant: str, *, form: Format, limit: int
) -> tuple[list[Row], GateContext]:
    """Rows that an assistant's feedback would train, with the evidence about them.

    Raises BadInputError for an assistant of which nothing is stored, or without such feedback.
    """
    with reading(gate.engine) as connection:
        if not is_known_assistant(connection, assistant):
            raise BadInputError("nothing of this assistant is stored", assistant)
        rows = collect_rows(connection, assistant, form=form, limit=limit)
    if not rows:
        raise BadInputError("no feedback of it would make a row", assistant)
    return rows, gate.evidence(assistant, named_by(rows), policy_of(gate.options))


def _row(turn: RatedTurn, form: Format) -> Row:
    response = turn.response
    messages = tuple(ChatMessage(m.role, m.content) for m in response.messages)
    origin = Provenance(
        source=COLLECTED,
        source_version=response.model,
        response_id=response.response_id,
        feedback_id=turn.feedback_id,
        rater=turn.rater,
        collected_at=datetime.fromtimestamp(turn.created_at_s, UTC).isoformat(),
    )
    if form == "sft":
        return Row(messages=messages, provenance=origin)
    return Row(
        prompt=messages[:-1],
        completion=messages[-1:],
        label=turn.value > 0,
        provenance=origin,
    )
