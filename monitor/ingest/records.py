"""What decoding yields beside accepted records: a dead letter with its reason."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class DeadLetterReason(StrEnum):
    """Why a record was refused; the label of a metric, so the list is closed."""

    EMPTY_RECORD = "empty_record"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    WRONG_VALUE = "wrong_value"
    CLOCK = "clock"
    EMPTY_CONVERSATION = "empty_conversation"
    EMPTY_RESPONSE = "empty_response"
    ENDS_WITH_USER = "ends_with_user"
    UNKNOWN_TOPIC = "unknown_topic"
    NO_RESPONSE = "no_response"
    FORGOTTEN = "forgotten"


class DeadLetter(msgspec.Struct, frozen=True):
    """A refused record. `detail` names field and type, never a value: it is stored in the clear."""

    reason: DeadLetterReason
    detail: str


class Refused(Exception):  # noqa: N818 -- a verdict on the input, not a failure of the program
    """Raised inside decoding and turned into a `DeadLetter` at its edge."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        self.letter = DeadLetter(reason, detail[:500])
        super().__init__(detail)
