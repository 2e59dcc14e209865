"""Calls of tools, their results and the tools on offer, in the shapes that SDKs and logs write."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from candor_guard.messages import ToolCall, ToolResult, ToolStatus
from candor_guard.reading.text import clean, decode_json
from candor_guard.reading.values import time_s

CALLS = frozenset(
    {"tool_call", "tool_use", "server_tool_use", "function_call", "tool-call", "mcp_call"}
    | {"custom_tool_call", "mcp_tool_use", "web_search_call", "file_search_call", "computer_call"}
    | {"code_interpreter_call", "local_shell_call", "image_generation_call"}
)
RESULTS = frozenset(
    {"tool_call_response", "tool_result", "tool-result", "function_call_output", "tool_response"}
    | {"web_search_tool_result", "custom_tool_call_output", "mcp_tool_result"}
    | {"computer_call_output", "local_shell_call_output"}
)
_MAX_NAME = 200
_CALL_IDS = ("call_id", "tool_call_id", "toolCallId", "id")
_RESULT_IDS = ("tool_call_id", "tool_use_id", "call_id", "toolCallId")
_NAMES = ("name", "toolName", "tool_name")
_ARGUMENTS = ("arguments", "input", "args", "parameters", "action")
_TIMES = ("created_at", "timestamp", "time", "at_s")
_FAILED = frozenset({"error", "errored", "failed", "failure", "rejected", "denied", "timeout"})
_OK = frozenset({"ok", "success", "succeeded"})
# Tags around a call and an answer in plain text, as open models are taught to write them.
_CALL_TAG = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_ANSWER_TAG = re.compile(r"\s*<tool_response>(.*?)</tool_response>\s*", re.DOTALL)


class Tool(NamedTuple):
    """A tool that the assistant had."""

    name: str
    description: str = ""


def as_text(value: Any) -> str:
    """A text as it is, any other value as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value, enc_hook=str).decode()


def first(part: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first value that is something; else the last that is given at all."""
    found = None
    for name in names:
        value = part.get(name)
        if value:
            return value
        if value is not None:
            found = value
    return found


def read_call(given: Mapping[str, Any]) -> tuple[ToolCall, bool]:
    """A call, and whether it names its tool. Arguments of any shape are kept as text."""
    inner = next((given[k] for k in ("function", "custom") if isinstance(given.get(k), dict)), None)
    call = given if inner is None else inner
    name = first(call, _NAMES)
    kind = given.get("type")
    if not isinstance(name, str) and isinstance(kind, str) and kind.endswith("_call"):
        # OpenAI's own tools are named by the kind of their item alone.
        name = kind.removesuffix("_call") if kind not in {"tool_call", "function_call"} else None
    named = isinstance(name, str)
    arguments = clean(as_text(first(call, _ARGUMENTS)))
    return ToolCall(_short(name if named else "a tool"), arguments, _id(given, _CALL_IDS)), named


def read_result(part: Mapping[str, Any]) -> ToolResult | None:
    """What a part or message says of a tool's answer beside its text; None where it says nothing."""
    name = first(part, _NAMES)
    # A part's own id is that of its call; a message's own id is not.
    ids = _RESULT_IDS if "role" in part else (*_RESULT_IDS, "id")
    found = ToolResult(
        call_id=_id(part, ids),
        name=_short(name) if isinstance(name, str) else "",
        status=_status(part),
        at_s=_time(part),
    )
    return None if found == ToolResult() else found


def written_calls(text: str) -> tuple[str, tuple[ToolCall, ...]]:
    """The text without calls in `<tool_call>` tags, and these calls; one that is no JSON stays text."""
    if "<tool_call>" not in text:
        return text, ()
    calls: list[ToolCall] = []

    def taken(match: re.Match[str]) -> str:
        call = call_in_text(match[1])
        if call is None:
            return match[0]
        calls.append(call)
        return ""

    rest = _CALL_TAG.sub(taken, text)
    return (rest.strip(), tuple(calls)) if calls else (text, ())


def call_in_text(text: str) -> ToolCall | None:
    """The call that a text writes as JSON; None where it is none."""
    value, _ = decode_json(text.strip().encode("utf-8", "replace"))
    if not isinstance(value, dict) or not isinstance(first(value, _NAMES), str):
        return None
    return read_call(value)[0]


def written_answer(text: str) -> str:
    """A tool's answer without the tags around it."""
    match = _ANSWER_TAG.fullmatch(text) if "<tool_response>" in text else None
    return match[1].strip() if match else text


def read_tools(value: Any) -> tuple[Tool, ...]:
    """The tools of a request: OpenAI's, Anthropic's and Gemini's lists, also as JSON text.

    Whatever is no tool is passed over; an empty answer says that nothing is recorded.
    """
    if isinstance(value, str):
        value, _ = decode_json(value.encode("utf-8", "replace"))
    return tuple(dict.fromkeys(_tools(value, 4)))


def _tools(value: Any, depth: int) -> Iterator[Tool]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value, _ = decode_json(value.encode("utf-8", "replace"))
    if depth and isinstance(value, list):
        for one in value:
            yield from _tools(one, depth - 1)
    if not depth or not isinstance(value, dict):
        return
    for key in ("function", "custom", "functionDeclarations", "function_declarations", "tools"):
        if isinstance(value.get(key), dict | list):
            yield from _tools(value[key], depth - 1)
            return
    name, told = first(value, (*_NAMES, "type")), value.get("description")
    if isinstance(name, str) and name:
        yield Tool(_short(name), clean(told) if isinstance(told, str) else "")


def _status(part: Mapping[str, Any]) -> ToolStatus:
    """What the record says. `completed` of an API's item says that it was returned, not that it went well."""
    for key in ("is_error", "isError"):
        if isinstance(part.get(key), bool):
            return "failed" if part[key] else "ok"
    if part.get("error") not in (None, "", False, {}, []):
        return "failed"
    word = part.get("status")
    word = word.strip().lower() if isinstance(word, str) else ""
    return "failed" if word in _FAILED else "ok" if word in _OK else "unknown"


def _time(part: Mapping[str, Any]) -> float | None:
    for key in _TIMES:
        if part.get(key) is not None:
            try:
                return time_s(part[key])
            except ValueError:
                continue
    return None


def _id(part: Mapping[str, Any], names: Sequence[str]) -> str:
    found = next((part[n] for n in names if isinstance(part.get(n), str | int) and part[n]), "")
    return _short(str(found)) if not isinstance(found, bool) else ""


def _short(text: str) -> str:
    return clean(text[:_MAX_NAME])
