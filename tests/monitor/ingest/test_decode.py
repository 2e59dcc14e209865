"""Good and bad input: accepted as documented, or dead-lettered with the reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import Feedback, Purpose, Response, Stakes, pseudonym
from monitor.ingest import (
    DeadLetter,
    DeadLetterReason,
    decode_feedback,
    decode_response,
    encode_feedback,
    encode_response,
)
from monitor.ingest.options import IngestOptions

KEY = b"k" * 32
NOW_S = 1_790_000_000.0
TIME = datetime.fromtimestamp(NOW_S - 60, UTC).isoformat().replace("+00:00", "Z")
RESPONSE: dict[str, Any] = {
    "response_id": "r1",
    "assistant": "helper",
    "model": "m1",
    "conversation_id": "c1",
    "user_id": "alice@example.org",
    "created_at": TIME,
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
}
FEEDBACK: dict[str, Any] = {
    "feedback_id": "f1",
    "assistant": "helper",
    "response_id": "r1",
    "user_id": "alice@example.org",
    "created_at": TIME,
    "value": -0.5,
    "kind": "rating",
}
OPTIONS = IngestOptions()


def response(raw: bytes | None, options: IngestOptions = OPTIONS) -> Response | DeadLetter:
    return decode_response(raw, options=options, key=KEY, now_s=NOW_S)


def feedback(raw: bytes | None) -> Feedback | DeadLetter:
    return decode_feedback(raw, options=OPTIONS, key=KEY, now_s=NOW_S)


def dumped(base: dict[str, Any], **changes: Any) -> bytes:
    record = {name: value for name, value in (base | changes).items() if value is not ...}
    return json.dumps(record).encode()


def accepted(raw: bytes, options: IngestOptions = OPTIONS) -> Response:
    found = response(raw, options)
    assert isinstance(found, Response), found
    return found


def refused(found: Response | Feedback | DeadLetter) -> DeadLetterReason:
    assert isinstance(found, DeadLetter), found
    assert "alice" not in found.detail
    return found.reason


def test_a_response_is_read_and_its_user_becomes_a_pseudonym() -> None:
    found = accepted(dumped(RESPONSE, stakes="high"))
    assert found.rater == pseudonym("alice@example.org", KEY)
    assert found.stratum.key == "helper/other/high"
    assert found.stratum.stakes is Stakes.HIGH
    assert found.created_at_s == NOW_S - 60
    assert [m.content for m in found.messages] == ["Hi", "Hello"]
    assert found.purpose is Purpose.LIVE


def test_unknown_fields_are_kept_without_the_user() -> None:
    extra = {"trace": {"user": "x", "span": ["alice@example.org", 1]}, "region": "eu"}
    found = accepted(dumped(RESPONSE, **extra))
    assert found.extra == {"trace": {"span": [None, 1]}, "region": "eu"}


def test_assistants_and_segments_are_declared() -> None:
    options = IngestOptions(assistants={"helper": ("billing",)})
    assert accepted(dumped(RESPONSE, segment="billing"), options).stratum.segment == "billing"
    assert accepted(dumped(RESPONSE, segment="new"), options).stratum.segment == "other"
    assert accepted(dumped(RESPONSE, assistant="unknown"), options).stratum.assistant == "other"


def test_content_in_parts_is_joined() -> None:
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "b"},
    ]
    found = accepted(dumped(RESPONSE, messages=[{"role": "assistant", "content": parts}]))
    assert found.messages[0].content == "a\nb"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "empty_record"),
        (b"", "empty_record"),
        (b"{", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"value": NaN}', "not_json"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (dumped(RESPONSE, user_id=...), "missing_field"),
        (dumped(RESPONSE, messages=...), "missing_field"),
        (dumped(RESPONSE, response_id=7), "wrong_type"),
        (dumped(RESPONSE, messages="Hello"), "wrong_type"),
        (dumped(RESPONSE, created_at=1.5), "wrong_type"),
        (dumped(RESPONSE, created_at="yesterday"), "wrong_value"),
        (dumped(RESPONSE, created_at="2026-01-01T00:00:00"), "wrong_value"),
        (dumped(RESPONSE, stakes="alice"), "wrong_value"),
        (dumped(RESPONSE, response_id=""), "wrong_value"),
        (dumped(RESPONSE, response_id="x" * 201), "wrong_value"),
        (dumped(RESPONSE, response_id="a\x00b"), "wrong_value"),
        (dumped(RESPONSE, response_id="a\ud800"), "wrong_value"),
        (dumped(RESPONSE, response_id="a\n"), "wrong_value"),
        (dumped(RESPONSE, assistant="a/b"), "wrong_value"),
        (dumped(RESPONSE, user_id=..., rater="not a pseudonym"), "wrong_value"),
        (dumped(RESPONSE, created_at="2040-01-01T00:00:00Z"), "clock"),
        (dumped(RESPONSE, created_at="1970-01-01T00:00:00Z"), "clock"),
        (dumped(RESPONSE, messages=[]), "empty_conversation"),
        (dumped(RESPONSE, messages=[{"role": "user", "content": "Hi"}]), "ends_with_user"),
        (dumped(RESPONSE, messages=[{"role": "assistant", "content": " \n"}]), "empty_response"),
        (dumped(RESPONSE, messages=[{"role": "assistant", "content": None}]), "empty_response"),
        (dumped(RESPONSE, note="x" * 1_000_000), "too_large"),
    ],
)
def test_bad_responses_are_refused_with_the_reason(raw: bytes | None, reason: str) -> None:
    assert refused(response(raw)) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"value": 1.5}, "wrong_value"),
        ({"value": -2}, "wrong_value"),
        ({"value": "up"}, "wrong_type"),
        ({"value": True}, "wrong_type"),
        ({"value": ...}, "missing_field"),
        ({"kind": ""}, "wrong_value"),
        ({"text": 5}, "wrong_type"),
        ({"created_at": "2040-01-01T00:00:00Z"}, "clock"),
    ],
)
def test_bad_feedback_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    assert refused(feedback(dumped(FEEDBACK, **changes))) == reason


def test_broken_text_is_repaired_and_control_characters_are_kept() -> None:
    messages = [{"role": "assistant", "content": "cut \ud83d nul \x00 bell \x07 tab \t"}]
    found = accepted(dumped(RESPONSE, messages=messages, note="\udfff"))
    assert found.messages[0].content == "cut \ufffd nul \ufffd bell \x07 tab \t"
    assert found.extra == {"note": "\ufffd"}


def test_feedback_text_is_repaired() -> None:
    found = feedback(dumped(FEEDBACK, text="a\x00b"))
    assert isinstance(found, Feedback)
    assert found.text == "a\ufffdb"
    assert found.value == -0.5


def test_encoded_records_are_read_back_the_same() -> None:
    one = accepted(dumped(RESPONSE, stakes="high", purpose="canary", region="eu"))
    assert response(encode_response(one)) == one
    two = feedback(dumped(FEEDBACK, text="fine", source="web"))
    assert isinstance(two, Feedback)
    assert feedback(encode_feedback(two)) == two
    assert b"alice" not in encode_response(one) + encode_feedback(two)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=200))
def test_no_bytes_raise(raw: bytes) -> None:
    assert isinstance(response(raw), DeadLetter)
    assert isinstance(feedback(raw), DeadLetter)


@given(st.sampled_from(sorted(RESPONSE)), _JSON)
def test_no_value_in_any_field_raises_or_leaves_text_that_cannot_be_stored(
    field: str, value: Any
) -> None:
    found = response(json.dumps(RESPONSE | {field: value}).encode())
    if isinstance(found, Response):
        shown = repr(encode_response(found).decode("utf-8"))
        assert "\\u0000" not in shown
    else:
        assert found.reason in DeadLetterReason
