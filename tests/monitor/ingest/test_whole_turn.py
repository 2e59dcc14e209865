"""A turn with what it did: from a record to what the probes see, and to the store and back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from evidence import Message, Response
from evidence.tools import Act
from monitor.ingest import DeadLetter, DeadLetterReason, encode_response
from monitor.score.scorer import transcript_of
from monitor.store.intake import pack_body, response_digest, unpack_body
from tests.monitor.ingest.otlp.test_numbered import OPEN_INFERENCE, OPEN_LLMETRY, span
from tests.monitor.ingest.otlp.test_spans import decode, export
from tests.monitor.ingest.test_decode import RESPONSE, dumped, response

ASK = {"role": "user", "content": "Mail Ana."}
SAID = {"role": "assistant", "content": "I've sent the mail."}
FAILED = Act(name="send", arguments='{"to":"Ana"}', call_id="c1", result="down", status="failed")
TOLD = [
    ("user", "Mail Ana."),
    ("assistant", '[called send with {"to":"Ana"}]'),
    ("tool", "down"),
    ("assistant", "I've sent the mail."),
]
CALL = {"id": "c1", "type": "function", "function": {"name": "send", "arguments": '{"to":"Ana"}'}}
CHAT = [
    ASK,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "down", "status": "error"},
    SAID,
]
ANTHROPIC = [
    ASK,
    {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "c1", "name": "send", "input": {"to": "Ana"}}],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": "down", "is_error": True}
        ],
    },
    SAID,
]
ITEMS = [
    ASK,
    {"type": "reasoning", "summary": []},
    {"type": "function_call", "call_id": "c1", "name": "send", "arguments": '{"to":"Ana"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "down", "status": "failed"},
    {"type": "message", **SAID},
]
GENAI = [
    {"role": "user", "parts": [{"type": "text", "content": "Mail Ana."}]},
    {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "c1", "name": "send", "arguments": {"to": "Ana"}}],
    },
    {
        "role": "tool",
        "parts": [
            {"type": "tool_call_response", "id": "c1", "response": "down", "error": "timeout"}
        ],
    },
    SAID,
]


def taken(**changes: Any) -> Response:
    found = response(dumped(RESPONSE, **changes))
    assert isinstance(found, Response), found
    return found


@pytest.mark.parametrize("messages", [CHAT, ANTHROPIC, ITEMS, GENAI])
def test_a_turn_reaches_the_probes_with_what_it_did(messages: list[Any]) -> None:
    found = taken(messages=messages)
    seen = transcript_of(found)
    assert seen.record is not None
    assert seen.record.acts == (FAILED,)
    assert [(m.role, m.content) for m in seen.messages] == TOLD
    assert seen.response == "I've sent the mail."
    again = response(encode_response(found))
    assert again == found
    assert unpack_body(pack_body(found)) == found


def test_a_result_keeps_its_time_and_name() -> None:
    at = {"timestamp": "2026-09-21T08:00:00.123456Z", "name": "send"}
    found = taken(messages=[*CHAT[:2], {**CHAT[2], **at}, SAID])
    (told,) = [m.result for m in found.messages if m.result]
    assert (told.name, told.at_s) == ("send", 1789977600.123456)
    assert response(encode_response(found)) == found


def test_nothing_recorded_is_not_nothing_called() -> None:
    assert transcript_of(taken()).record is None
    tools = [{"type": "function", "function": {"name": "send", "description": "Sends a mail."}}]
    record = transcript_of(taken(tools=tools)).record
    assert record is not None
    assert ([t.name for t in record.tools], record.acts) == (["send"], ())
    assert transcript_of(taken(tools=[])).record is None
    assert transcript_of(taken(tools="broken")).record is None


def test_a_row_of_before_is_read_on() -> None:
    row = {
        "response_id": "r1",
        "stratum": {"assistant": "helper", "segment": "other", "stakes": "normal"},
        "model": "m1",
        "conversation_id": "c1",
        "rater": "0" * 32,
        "created_at_s": 1.0,
        "messages": [
            {"role": "user", "content": "Mail Ana."},
            {"role": "assistant", "content": "", "tool_calls": [{"name": "send"}]},
            {"role": "tool", "content": "down"},
            SAID,
        ],
    }
    record = transcript_of(unpack_body(msgspec.json.encode(row))).record
    assert record is not None
    assert record.acts == (Act(name="send", result="down"),)


def test_a_turn_told_with_and_without_ids_is_one() -> None:
    with_ids = taken(messages=CHAT)
    bare = msgspec.structs.replace(
        with_ids,
        messages=tuple(
            Message(m.role, m.content, tool_calls=tuple(
                msgspec.structs.replace(call, id="") for call in m.tool_calls
            ))
            for m in with_ids.messages
        ),
    )  # fmt: skip
    assert response_digest(with_ids) == response_digest(bare)


def test_a_result_without_its_call_is_kept() -> None:
    record = transcript_of(taken(messages=[ASK, CHAT[2], SAID])).record
    assert record is not None
    assert [(a.name, a.result, a.status) for a in record.acts] == [("", "down", "failed")]


def test_arguments_that_are_no_json_are_kept() -> None:
    call = {"id": "c1", "function": {"name": "send", "arguments": "{to: Ana"}}
    found = taken(messages=[ASK, {**CHAT[1], "tool_calls": [call, call]}, CHAT[2], SAID])
    record = transcript_of(found).record
    assert record is not None
    assert [a.arguments for a in record.acts] == ["{to: Ana"] * 2


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([ASK, {**CHAT[2], "content": "x" * 5_000_000}, SAID], DeadLetterReason.TOO_LARGE),
        ([ASK, {"type": "teleport_call", "name": "x"}, SAID], DeadLetterReason.MISSING_FIELD),
        ([ASK, {"content": "Hello"}, SAID], DeadLetterReason.MISSING_FIELD),
        (
            [ASK, {"role": "tool", "content": [{"type": "hologram"}]}, SAID],
            DeadLetterReason.UNREAD_CONTENT,
        ),
        (
            [ASK, {"role": "assistant", "tool_calls": ["send"]}, SAID],
            DeadLetterReason.UNREAD_CONTENT,
        ),
    ],
)
def test_what_cannot_be_read_has_its_reason(messages: list[Any], reason: str) -> None:
    letter = response(dumped(RESPONSE, messages=messages))
    assert isinstance(letter, DeadLetter)
    assert letter.reason is reason


@pytest.mark.parametrize(
    ("given", "more"),
    [
        (OPEN_INFERENCE, {"llm.tools.0.tool.json_schema": '{"function": {"name": "send"}}'}),
        (OPEN_LLMETRY, {"llm.request.functions.0.name": "send"}),
        (OPEN_LLMETRY, {"gen_ai.tool.definitions": '[{"name": "send"}]'}),
    ],
)
def test_spans_tell_the_tools_on_offer(given: dict[str, Any], more: dict[str, Any]) -> None:
    (found,) = decode(export(span({**given, **more})))
    assert isinstance(found, Response)
    record = transcript_of(found).record
    assert record is not None
    assert [t.name for t in record.tools] == ["send"]
    assert [(a.name, a.result, a.call_id) for a in record.acts] == [("stock", "none left", "t1")]
