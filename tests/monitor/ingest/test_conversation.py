"""Conversations in the shapes of many SDKs: read rightly, or refused by name; nothing is lost in silence."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from evidence import Message, ToolCall, ToolResult
from monitor.ingest.conversation import read_conversation
from monitor.ingest.records import DeadLetterReason, Refused

STOCK = ToolCall("stock", '{"item":"lamp"}')


def one(**message: Any) -> Message:
    (found,) = read_conversation([{"role": "assistant", **message}]).messages
    return found


@pytest.mark.parametrize(
    "message",
    [
        {"content": "No."},
        {"content": ["No."]},
        {"content": {"type": "text", "text": "No."}},
        {"content": {"parts": ["No."]}},
        {"content": [{"type": "text", "text": "No."}]},
        {"content": [{"type": "text", "text": {"value": "No.", "annotations": []}}]},
        {"content": [{"type": "output_text", "text": "No."}]},
        {"content": [{"text": "No."}]},
        {"parts": [{"type": "text", "content": "No."}]},
        {"parts": [{"type": "text", "text": "No."}]},
        {"parts": ["No."]},
        {"text": "No."},
        {"content": None, "parts": [{"content": "No."}]},
        {"content": None, "refusal": "No."},
        {"content": [{"type": "refusal", "refusal": "No."}]},
        {"parts": [{"type": "refusal", "content": "No."}]},
    ],
)
def test_what_is_said_is_read(message: dict[str, Any]) -> None:
    assert one(**message) == Message("assistant", "No.")


@pytest.mark.parametrize(
    "message",
    [
        {"content": "<think>none left</think>No."},
        {"content": "none left</think>\n\nNo."},
        {"content": "No.", "reasoning_content": "none left"},
        {"content": "No.", "reasoning": "none left"},
        {
            "content": [
                {"type": "thinking", "thinking": "none left"},
                {"type": "text", "text": "No."},
            ]
        },
        {
            "parts": [
                {"type": "reasoning", "content": "none left"},
                {"type": "text", "content": "No."},
            ]
        },
        {"parts": [{"text": "none left", "thought": True}, {"text": "No."}]},
        {
            "content": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "none left"}]},
                {"type": "output_text", "text": "No."},
            ]
        },
    ],
)
def test_reasoning_is_kept_apart(message: dict[str, Any]) -> None:
    assert one(**message) == Message("assistant", "No.", "none left")


def test_a_user_may_write_of_think_tags() -> None:
    said = "What does <think> do?</think>"
    (found,) = read_conversation([{"role": "user", "content": said}]).messages
    assert found == Message("user", said)


@pytest.mark.parametrize(
    "message",
    [
        {
            "content": None,
            "tool_calls": [
                {"id": "t", "function": {"name": "stock", "arguments": '{"item":"lamp"}'}}
            ],
        },
        {"content": None, "function_call": {"name": "stock", "arguments": '{"item":"lamp"}'}},
        {"content": [{"type": "tool_use", "id": "t", "name": "stock", "input": {"item": "lamp"}}]},
        {"content": [{"type": "tool-call", "toolName": "stock", "args": {"item": "lamp"}}]},
        {"parts": [{"type": "tool_call", "name": "stock", "arguments": {"item": "lamp"}}]},
        {"content": "", "tool_calls": [{"name": "stock", "arguments": '{"item":"lamp"}'}]},
    ],
)
def test_tool_calls_are_kept_apart(message: dict[str, Any]) -> None:
    named = '"id"' in json.dumps(message)
    call = msgspec.structs.replace(STOCK, id="t" if named else "")
    assert one(**message) == Message("assistant", "", "", (call,))


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "content": '{"pieces":0}'},
        {"role": "function", "name": "stock", "content": '{"pieces":0}'},
        {"role": "tool", "parts": [{"type": "tool_call_response", "response": {"pieces": 0}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "result": '{"pieces":0}'}]},
        {"role": "user", "content": [{"type": "tool_result", "content": '{"pieces":0}'}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "content": [{"type": "text", "text": '{"pieces":0}'}]}
            ],
        },
        {"role": "tool", "content": [{"type": "tool-result", "output": {"pieces": 0}}]},
    ],
)
def test_results_of_tools_are_read(message: dict[str, Any]) -> None:
    told = ToolResult(name="stock") if "name" in message else None
    assert read_conversation([message]).messages == (Message("tool", '{"pieces":0}', result=told),)


def test_a_question_beside_a_result_comes_after_it() -> None:
    parts = [{"type": "tool_result", "content": "none"}, {"type": "text", "text": "And red ones?"}]
    found = read_conversation([{"role": "user", "content": parts}]).messages
    assert found == (Message("tool", "none"), Message("user", "And red ones?"))


@pytest.mark.parametrize(
    ("given", "role"),
    [
        *((name, "assistant") for name in ("Assistant", "ai", "bot", "MODEL")),
        *((name, "user") for name in ("User", "human")),
        ("SYSTEM", "system"),
        ("developer", "developer"),
        ("function", "tool"),
        ("Critic", "Critic"),
    ],
)
def test_roles_have_one_name(given: str, role: str) -> None:
    (found,) = read_conversation([{"role": given, "content": "x"}]).messages
    assert found.role == role


def test_pictures_are_named_as_not_read() -> None:
    parts = [{"type": "text", "text": "Which lamp?"}, {"type": "image_url", "image_url": {}}]
    found = read_conversation([{"role": "user", "content": parts}])
    assert found.messages == (Message("user", "Which lamp?"),)
    assert found.unread == ("messages[0]: image_url",)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"content": [{"type": "hologram", "data": "x"}]}, "`hologram`"),
        ({"content": [{"type": "text"}]}, "text without text"),
        ({"content": [{"type": 7}]}, "type is no text"),
        ({"content": [{"data": "x"}]}, "without type and text"),
        ({"value": "No."}, "`value`"),
        ({"alice@example.org": "No."}, "not shown"),
        ({"content": None, "tool_calls": ["x"]}, "tool call"),
        ({"content": None, "tool_calls": [{}]}, "without a name"),
        ({"parts": [5]}, "int"),
    ],
)
def test_a_shape_that_is_not_known_is_refused_by_name(message: dict[str, Any], told: str) -> None:
    with pytest.raises(Refused, match=told) as refused:
        read_conversation([{"role": "user", **message}])
    assert refused.value.letter.reason is DeadLetterReason.UNREAD_CONTENT
    assert "messages[0]" in refused.value.letter.detail
    assert "alice" not in refused.value.letter.detail


def test_an_empty_message_stays_empty() -> None:
    assert one(content=None) == one(content="") == one(content=[]) == Message("assistant", "")
