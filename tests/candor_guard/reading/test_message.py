"""One message in any shape: what is said, what is named, and that nothing of it is lost in silence."""

from __future__ import annotations

from typing import Any

import pytest

from candor_guard.reading.message import read_message, text_of
from evidence import Message, ToolCall


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"functionResponse": {"name": "g", "response": {"left": 0}}}, '{"left":0}'),
        ({"type": "tool_result", "output": {"left": 0}}, '{"left":0}'),
        ({"type": "function_call_output", "output": "none"}, "none"),
        ({"type": "tool_result", "content": [{"type": "text", "text": "none"}]}, "none"),
    ],
)
def test_a_result_keeps_its_structure(part: dict[str, Any], said: str) -> None:
    found = read_message({"role": "user", "content": [part]})
    assert [(m.role, m.content) for m in found.messages] == [("tool", said)]


def test_a_call_keeps_numbers_beyond_64_bits() -> None:
    call = {"type": "tool_use", "name": "stock", "input": {"n": 10**25}}
    (message,) = read_message({"role": "assistant", "content": [call]}).messages
    assert message.tool_calls == (ToolCall("stock", '{"n":10000000000000000000000000}'),)


def test_a_part_of_a_kind_that_is_not_known_is_read_and_named() -> None:
    part = {"type": "hologram", "text": "So."}
    found = read_message({"role": "user", "content": [part]})
    assert found.messages == (Message("user", "So."),)
    assert found.unknown == ("a part of type `hologram`",)
    secret = {"type": "ana@example.org", "text": "So."}
    assert "ana" not in str(read_message({"role": "user", "content": [secret]}).unknown)


@pytest.mark.parametrize("name", ["attachments", "files", "images"])
def test_what_stands_beside_the_text_is_named(name: str) -> None:
    found = read_message({"role": "user", "content": "Q", name: ["x"]})
    assert (found.messages, found.unread) == ((Message("user", "Q"),), (name,))


def test_base64_is_no_text() -> None:
    found = read_message({"role": "user", "parts": [{"type": "blob", "content": "aGk="}]})
    assert (found.messages, found.unread) == ((Message("user", ""),), ("blob",))


def test_a_silent_channel_is_a_thought_and_a_tool_on_it_is_heard() -> None:
    thought = read_message({"role": "assistant", "channel": "analysis", "content": "T"})
    assert (thought.messages, thought.thought) == ((), "T")
    tool = read_message({"role": "tool", "channel": "analysis", "content": "R"})
    assert (tool.messages, tool.thought) == ((Message("tool", "R"),), None)


def test_an_empty_role_is_nobody_known() -> None:
    (message,) = read_message({"role": "", "content": "<think>T</think>A"}).messages
    assert message == Message("", "<think>T</think>A")
    assert read_message({"content": "A"}).messages == ()


def test_halves_of_an_emoji_and_nul_are_replaced() -> None:
    (message,) = read_message({"role": "user", "content": "a\x00b \ud83d"}).messages
    assert message.content == "a\ufffdb \ufffd"


@pytest.mark.parametrize("content", [None, 5, [], {}, [[]], [None], {"type": 7}])
def test_text_of_nothing_is_none(content: Any) -> None:
    assert text_of(content) is None
