"""Calls, results and tools in the shapes of SDKs, logs and data sets."""

from __future__ import annotations

from typing import Any

import pytest

from candor_guard.messages import Message, ToolCall, ToolResult
from candor_guard.reading.message import read_message
from candor_guard.reading.tools import Tool, read_tools

SENT = ToolCall("send_mail", '{"to":"Ana"}', "c1")


@pytest.mark.parametrize(
    "raw",
    [
        {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "send_mail", "arguments": '{"to":"Ana"}'}}]},
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "send_mail", "input": '{"to":"Ana"}'}}]},
        {"type": "function_call", "id": "fc9", "call_id": "c1", "name": "send_mail", "arguments": '{"to":"Ana"}', "status": "completed"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "send_mail", "input": {"to": "Ana"}}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "send_mail", "arguments": {"to": "Ana"}}]},
        {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "send_mail", "args": {"to": "Ana"}}}]},
        {"from": "function_call", "value": '{"id": "c1", "name": "send_mail", "arguments": {"to": "Ana"}}'},
        {"from": "gpt", "value": '<tool_call>\n{"id": "c1", "name": "send_mail", "arguments": {"to": "Ana"}}\n</tool_call>'},
    ],
)  # fmt: skip
def test_a_call_has_one_form(raw: dict[str, Any]) -> None:
    (message,) = read_message(raw, names=("content", "value", "parts")).messages
    assert message == Message("assistant", "", tool_calls=(SENT,))


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"role": "tool", "tool_call_id": "c1", "content": "down"}, ToolResult("c1")),
        ({"role": "function", "name": "send_mail", "content": "down"}, ToolResult(name="send_mail")),
        ({"type": "function_call_output", "id": "o1", "call_id": "c1", "output": "down", "status": "completed"}, ToolResult("c1")),
        ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "down", "is_error": True}]}, ToolResult("c1", status="failed")),
        ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "down"}], "is_error": False}]}, ToolResult("c1", status="ok")),
        ({"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "down"}]}, ToolResult("c1")),
        ({"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "send_mail", "response": "down"}}]}, ToolResult("c1", "send_mail")),
        ({"role": "tool", "tool_call_id": "c1", "content": "", "error": "down"}, ToolResult("c1", status="failed")),
        ({"role": "tool", "id": "m7", "tool_call_id": "c1", "status": "error", "content": "down", "timestamp": 1795914000}, ToolResult("c1", status="failed", at_s=1795914000.0)),
        ({"from": "tool", "value": "<tool_response>down</tool_response>"}, None),
        ({"role": "tool", "id": "m7", "content": "down", "created_at": "yesterday"}, None),
    ],
)  # fmt: skip
def test_a_result_has_one_form(raw: dict[str, Any], told: ToolResult | None) -> None:
    (message,) = read_message(raw, names=("content", "value", "parts")).messages
    assert message == Message("tool", "down", result=told)


def test_a_call_that_is_no_json_is_text_that_was_said() -> None:
    said = "<tool_call>send it</tool_call>"
    (message,) = read_message({"role": "assistant", "content": said}).messages
    assert message == Message("assistant", said)


def test_arguments_that_are_no_json_are_kept_as_they_are() -> None:
    call = {"id": "c1", "function": {"name": "send_mail", "arguments": '{"to": Ana'}}
    (message,) = read_message({"role": "assistant", "tool_calls": [call]}).messages
    assert message.tool_calls == (ToolCall("send_mail", '{"to": Ana', "c1"),)


MAIL = Tool("send_mail", "Sends a mail.")


@pytest.mark.parametrize(
    ("value", "tools"),
    [
        ([{"type": "function", "function": {"name": "send_mail", "description": "Sends a mail."}}], (MAIL,)),
        ([{"type": "function", "name": "send_mail", "description": "Sends a mail."}], (MAIL,)),
        ([{"name": "send_mail", "description": "Sends a mail.", "input_schema": {}}], (MAIL,)),
        ([{"functionDeclarations": [{"name": "send_mail", "description": "Sends a mail."}]}], (MAIL,)),
        ('[{"name": "send_mail", "description": "Sends a mail."}]', (MAIL,)),
        (['{"type": "function", "function": {"name": "send_mail"}}'], (Tool("send_mail"),)),
        ([{"type": "web_search"}], (Tool("web_search"),)),
        ([{"name": "send_mail", "description": 7}] * 2, (Tool("send_mail"),)),
        *((bad, ()) for bad in (None, 7, "", "[", [], [7, None, {}], {"function": []}, [[[[[[MAIL._asdict()]]]]]])),
    ],
)  # fmt: skip
def test_tools_of_a_request(value: Any, tools: tuple[Tool, ...]) -> None:
    assert read_tools(value) == tools
