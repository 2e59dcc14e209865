"""Whether a row is what the store holds: the text of its response, and the signal that chose it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from candor_guard.rows import Row, RowKind, Text
from evidence import Message, words_digest
from retrain.context import GateContext, StoredFeedback, StoredResponse
from retrain.policy import COLLECTED
from retrain.reason import Reason

UNSTORED_COLUMNS = frozenset({
    "chat_template_kwargs", "completion_ids", "documents", "image", "images", "input_ids", "labels",
    "prompt_ids", "text", "tools", "videos",
})  # fmt: skip
"""Columns that trainers read, and of which the store holds nothing to compare them with."""

_SAME_TIME_S = 1e-3


def edit_name(feedback_id: str) -> str:
    """The name under which the text of an edit is measured; no response's id holds a line break."""
    return f"edit\n{feedback_id}"


class Stored:
    """Rows beside what the context tells of the store.

    A pair is verified as an edit beside the response that it replaced: of another rejected side
    nothing tells where it came from.
    """

    def __init__(self, context: GateContext) -> None:
        self._responses, self._feedback = context.responses, context.feedback

    def mismatch(self, row: Row) -> Reason | None:
        """Why the row is not what the store holds, or None where all that it says is."""
        origin = row.provenance
        response = self._responses.get(origin.response_id or "")
        if response is None:
            return Reason.UNKNOWN_RESPONSE
        if response.said is None or not UNSTORED_COLUMNS.isdisjoint(row.extra):
            return Reason.UNVERIFIABLE
        given = self._feedback.get(origin.feedback_id or "")
        edited = self._is_edited(row, given)
        wrong = _wrong_text(row, response, given if edited else None)
        if wrong is not None:
            return wrong
        version = origin.source_version
        if version is not None and version != response.model and origin.source == COLLECTED:
            return Reason.OTHER_VERSION
        return Reason.UNKNOWN_FEEDBACK if given is None else _signal(row, given, edited=edited)

    def measured_name(self, row: Row) -> str:
        """The name of the row's text in the verdicts: the response's id, or an edit's own name."""
        origin = row.provenance
        if self._is_edited(row, self._feedback.get(origin.feedback_id or "")):
            return edit_name(origin.feedback_id or "")
        return origin.response_id or ""

    def _is_edited(self, row: Row, given: StoredFeedback | None) -> bool:
        """Whether the row trains the answer that its rater wrote instead of the response."""
        if given is None or given.edit is None:
            return False
        response = self._responses.get(given.response_id)
        answer = _conversation(row, _answer(row))[-1:]
        return _digest(answer) == given.edit and (
            response is None or response.answered != given.edit
        )


def _wrong_text(row: Row, response: StoredResponse, edit: StoredFeedback | None) -> Reason | None:
    """Why not every turn of the row is the stored one; the rejected side of a pair is the response that the
    `edit` replaced."""
    said = _conversation(row, _answer(row))
    is_pair = row.kind is RowKind.DPO
    if edit is None:
        if is_pair:
            return Reason.UNVERIFIABLE
        return None if _digest(said) == response.said else Reason.OTHER_TEXT
    if edit.response_id != row.provenance.response_id:
        return Reason.OTHER_RESPONSE
    asked = _digest(said[:-1])
    if asked is None or asked != response.asked or _digest(said[-1:]) != edit.edit:
        return Reason.OTHER_TEXT
    if is_pair and _digest(_conversation(row, row.rejected)) != response.said:
        return Reason.OTHER_TEXT
    return None


def _signal(row: Row, given: StoredFeedback, *, edited: bool) -> Reason | None:
    origin = row.provenance
    if given.response_id != origin.response_id:
        return Reason.OTHER_RESPONSE
    if given.rater != origin.rater:
        return Reason.OTHER_RATER
    # Who edits endorses the edit, whatever they said of the response.
    liked = edited or given.value > 0
    if liked is not row.endorses or (given.value == 0 and not edited):
        return Reason.OTHER_VALUE
    if not _is_at(origin.collected_at, given.created_at_s):
        return Reason.OTHER_TIME
    return None


def _is_at(text: str | None, at_s: float) -> bool:
    try:
        found = dt.datetime.fromisoformat(text or "")
    except ValueError:
        return False
    if found.tzinfo is None:
        found = found.replace(tzinfo=dt.UTC)
    return abs(found.timestamp() - at_s) < _SAME_TIME_S


def _answer(row: Row) -> Text | None:
    return row.completion if row.completion is not None else row.chosen


def _conversation(row: Row, answer: Text | None) -> Sequence[Message]:
    if row.messages is not None:
        return row.messages
    return (*_messages(row.prompt, "user"), *_messages(answer, "assistant"))


def _messages(value: Text | None, role: str) -> Sequence[Message]:
    if value is None:
        return ()
    return (Message(role, value),) if isinstance(value, str) else value


def _digest(messages: Sequence[Message]) -> bytes | None:
    """None where a message holds more than role and text, of which the store's rendering has nothing."""
    for message in messages:
        if getattr(message, "given", None):
            return None
    return words_digest(messages)
