"""Accepted records back to the JSON of the input topics, with the pseudonym in place of the user id."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from evidence import Feedback, Message, Response


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
            "messages": [_message(message) for message in response.messages],
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


def _message(message: Message) -> Message | dict[str, Any]:
    """A message as the input topics have it: what is known of a tool's result stands beside its text."""
    told = message.result
    if told is None:
        return message
    beside = {
        "tool_call_id": told.call_id or None,
        "name": told.name or None,
        "status": None if told.status == "unknown" else told.status,
        "timestamp": told.at_s,
    }
    bare = msgspec.to_builtins(msgspec.structs.replace(message, result=None))
    return {**bare, **{name: value for name, value in beside.items() if value is not None}}


def _rfc3339(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()
