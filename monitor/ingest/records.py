"""What decoding yields beside accepted records: a dead letter with its reason."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

log = logging.getLogger(__name__)
_Found = TypeVar("_Found")


class DeadLetterReason(StrEnum):
    """Why a record was refused; the label of a metric, so the list is closed."""

    EMPTY_RECORD = "empty_record"
    UNREADABLE_BATCH = "unreadable_batch"
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
    UNREAD_CONTENT = "unread_content"
    UNKNOWN_TOPIC = "unknown_topic"
    NO_RESPONSE = "no_response"
    NOT_OURS = "not_ours"
    FORGOTTEN = "forgotten"
    INTERNAL_ERROR = "internal_error"


class DeadLetter(msgspec.Struct, frozen=True):
    """A refused record. `detail` names field and type, never a value: it is stored in the clear."""

    reason: DeadLetterReason
    detail: str


class Refused(Exception):  # noqa: N818 -- a verdict on the input, not a failure of the program
    """Raised inside decoding and turned into a `DeadLetter` at its edge."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        self.letter = DeadLetter(reason, detail[:500])
        super().__init__(detail)


def or_letter(decode: Callable[[], _Found]) -> _Found | DeadLetter:
    """What `decode` returns, or the dead letter of what it raises, whatever that is.

    `internal_error` is the last resort, for a record on which the code itself failed; it says type
    and place, never a value.
    """
    try:
        return decode()
    except Refused as refused:
        return refused.letter
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}"
        log.error("a record is refused because reading it failed, which is a bug: %s", where)  # noqa: TRY400 -- the error's text may hold the record's
        return DeadLetter(DeadLetterReason.INTERNAL_ERROR, where)
