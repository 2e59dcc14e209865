"""Training rows from rated turns, with their provenance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Connection

from monitor.store.rows import RatedTurn, rated_turns
from retrain.policy import COLLECTED
from retrain.rows import ChatMessage, Provenance, Row

Format = Literal["sft", "kto"]


def collect_rows(
    connection: Connection, assistant: str, *, form: Format = "sft", limit: int
) -> list[Row]:
    """The newest `limit` rows that feedback would train: liked turns (`sft`), or every signal with
    `label` whether it was a like (`kto`)."""
    turns = rated_turns(connection, assistant, liked_only=form == "sft", limit=limit)
    return [_row(turn, form) for turn in turns]


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
