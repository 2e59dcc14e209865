"""A purpose is believed with Candor's own mark, and with no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evidence import CANARY_ASSISTANT, Message, Purpose, Response, Stakes, Stratum
from monitor.ingest import DeadLetter, DeadLetterReason, decode_response, encode_response
from monitor.ingest.marks import MARK, marked
from monitor.ingest.options import IngestOptions
from tests.monitor.ingest.test_decode import KEY, NOW_S, RESPONSE, dumped

OPTIONS = IngestOptions(assistants={"helper": ()})


def canary(key: bytes = KEY) -> dict[str, Any]:
    response = Response(
        response_id="canary-1",
        stratum=Stratum(CANARY_ASSISTANT, stakes=Stakes.HIGH),
        model="canary",
        conversation_id="canary-1",
        rater="0" * 32,
        created_at_s=NOW_S,
        messages=(Message("user", "Is it?"), Message("assistant", "No.")),
        purpose=Purpose.CANARY,
    )
    made: dict[str, Any] = json.loads(encode_response(marked(response, key)))
    return made


def decode(record: dict[str, Any], key: bytes = KEY) -> Response | DeadLetter:
    return decode_response(json.dumps(record).encode(), options=OPTIONS, key=key, now_s=NOW_S)


def test_our_own_is_known_also_after_the_key_was_rotated() -> None:
    for key in (KEY, KEY + b"\n" + b"0" * 64):
        found = decode(canary(), key)
        assert isinstance(found, Response)
        assert (found.purpose, found.stratum.assistant) == (Purpose.CANARY, CANARY_ASSISTANT)


@pytest.mark.parametrize(
    "changes",
    [
        {MARK: None},
        {MARK: "0" * 64},
        {MARK: "\u00e9"},
        {MARK: ["x"]},
        {"response_id": "canary-2"},
        {"messages": [{"role": "assistant", "content": "Yes."}]},
        {"purpose": "repeat"},
        {"purpose": "live"},
    ],
)
def test_another_in_our_name_is_refused(changes: dict[str, Any]) -> None:
    found = decode(canary() | changes)
    assert isinstance(found, DeadLetter)
    assert found.reason is DeadLetterReason.NOT_OURS
    assert isinstance(decode(canary(b"x" * 32)), DeadLetter)


@pytest.mark.parametrize("purpose", ["canary", "repeat", "rescore"])
def test_who_claims_a_purpose_is_measured_like_everybody(purpose: str) -> None:
    found = decode_response(
        dumped(RESPONSE, purpose=purpose), options=OPTIONS, key=KEY, now_s=NOW_S
    )
    assert isinstance(found, Response)
    assert found.purpose is Purpose.LIVE
    assert found.extra["claimed_purpose"] == purpose
    assert found.stratum.assistant == "helper"
