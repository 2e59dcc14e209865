"""What must hold of everything that decoding returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evidence import Feedback, Purpose, Response
from monitor.ingest.decode import Decoded, decode_feedback, decode_responses
from monitor.ingest.encode import encode_feedback, encode_response
from monitor.ingest.marks import is_ours
from monitor.ingest.options import IngestOptions
from monitor.ingest.parts import Part, encode_part
from monitor.ingest.records import DeadLetter, DeadLetterReason
from monitor.score.scorer import transcript_of
from tests.fuzz.documents import KEY, NOW_S, USER

OPTIONS = IngestOptions(max_record_bytes=20_000, assistants={"shop": ("billing",)})
GIVEN: dict[str, Any] = {"options": OPTIONS, "key": KEY, "now_s": NOW_S}


def outcome(found: Sequence[Decoded]) -> str:
    """What became of one input; raises AssertionError when a rule does not hold."""
    assert found, "an input was accounted for nowhere"
    for one in found:
        if isinstance(one, DeadLetter):
            check_letter(one)
        else:
            check_record(one)
    letters = [one.reason.value for one in found if isinstance(one, DeadLetter)]
    return letters[0] if letters else "accepted"


def check_letter(letter: DeadLetter) -> None:
    """It has a reason of the closed list, and its detail can be stored and shows no value."""
    assert letter.reason is not DeadLetterReason.INTERNAL_ERROR, letter.detail
    assert letter.detail
    assert len(letter.detail) <= 500
    assert "\x00" not in letter.detail
    letter.detail.encode()
    assert USER not in letter.detail


def check_record(record: Response | Part | Feedback) -> None:
    """Written anew it is read the same, by a worker with another key too, and can be stored."""
    if isinstance(record, Response):
        assert record.purpose is Purpose.LIVE or is_ours(record, KEY)
        raw = encode_response(record)
        assert transcript_of(record).messages[-1].role == "assistant"
        again = decode_responses(raw, **GIVEN)
        assert again == [record], (again, record)
    elif isinstance(record, Part):
        raw = encode_part(record)
        assert decode_responses(raw, **GIVEN) == [record]
    else:
        raw = encode_feedback(record)
        assert decode_feedback(raw, **GIVEN) == record
    assert len(raw) <= OPTIONS.max_record_bytes
    assert b"\\u0000" not in raw.replace(b"\\\\", b"")
    raw.decode("utf-8")
