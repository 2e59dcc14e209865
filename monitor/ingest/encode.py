"""Accepted records back to the JSON of the input topics, with the pseudonym in place of the user id."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from evidence import Feedback, Response


def encode_response(response: Response) -> bytes:
    """The record that `decode_response` reads back as the same response."""
    stratum = response.stratum
    return msgspec.json.encode(
        {
            **response.extra,
            "response_id": response.response_id,
            "assistant": stratum.assistant,
            "model": response.model,
            "conversation_id": response.conversation_id,
            "rater": response.rater,
            "created_at": _rfc3339(response.created_at_s),
            "messages": response.messages,
            "stakes": stratum.stakes,
            "segment": stratum.segment,
            "purpose": response.purpose,
        }
    )


def encode_feedback(feedback: Feedback) -> bytes:
    """The record that `decode_feedback` reads back as the same feedback."""
    record: dict[str, Any] = {
        **feedback.extra,
        "feedback_id": feedback.feedback_id,
        "assistant": feedback.assistant,
        "response_id": feedback.response_id,
        "rater": feedback.rater,
        "created_at": _rfc3339(feedback.created_at_s),
        "value": feedback.value,
        "kind": feedback.kind,
    }
    if feedback.text is not None:
        record["text"] = feedback.text
    return msgspec.json.encode(record)


def _rfc3339(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()
