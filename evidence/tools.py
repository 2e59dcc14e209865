"""What a response's record says of tools: those on offer, the calls, and how each ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from candor_guard.messages import Message, ToolCall, ToolResult, ToolStatus
from candor_guard.reading.tools import Tool, read_tools

TOOLS = "tools"
"""Field of a record, and of `Response.extra`, with the tools that the assistant had."""
TOOL_SPANS = "tool_spans"
"""Field with calls that were told apart from the conversation, such as by spans of their own: a list of objects
with `name`, `call_id`, `arguments`, `result`, `status` (`ok`, `failed`) and `at_s`."""
MAX_ACTS, MAX_TOOLS, MAX_CHARS = 200, 500, 16_000
_CUT = " … "
_STATUS: Mapping[str, ToolStatus] = {"ok": "ok", "failed": "failed"}


class Act(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call of a tool with its result, as far as either is recorded.

    Parameters
    ----------
    name, arguments, call_id
        The call; "" where only a result is recorded.
    result
        Text of the result; None where none is recorded.
    status
        What the record itself says of it.
    at_s
        When it answered, seconds since the epoch.
    turn
        How many messages of users stand after it: 0 is the turn that is measured.
    """

    name: str = ""
    arguments: str = ""
    call_id: str = ""
    result: str | None = None
    status: ToolStatus = "unknown"
    at_s: float | None = None
    turn: int = 0


class ToolRecord(msgspec.Struct, frozen=True):
    """The tools and calls that are recorded with a response; `acts` is empty where none was called."""

    tools: tuple[Tool, ...] = ()
    acts: tuple[Act, ...] = ()


def tool_record(messages: Sequence[Message], beside: Mapping[str, Any]) -> ToolRecord | None:
    """The record of a conversation; None where nothing of tools is recorded.

    Parameters
    ----------
    messages
        The conversation, the measured message last.
    beside
        Further fields of the record: `tools` holds those on offer, `tool_spans` calls that were told apart from
        the messages. An empty list says nothing.

    A result belongs to the last call with its id, else to the first unanswered one of its turn with its name,
    else (neither given) to the first unanswered one. What belongs to no call is an act of its own, and of two
    answers to one call both are kept. A call that was told apart adds to the one with its id, else to one with
    its name and arguments, what that lacks; else it is an act of its own. The last `MAX_ACTS` acts and the first and last 8 000 characters of
    every text are kept.
    """
    tools = read_tools(beside.get(TOOLS) or beside.get("functions"))[:MAX_TOOLS]
    acts: list[Act] = []
    turn = sum(message.role == "user" for message in messages)
    for message in messages:
        turn -= message.role == "user"
        acts += [_called(call, turn) for call in message.tool_calls]
        if message.role == "tool":
            _answer(acts, message, turn)
    for told in _told_apart(beside.get(TOOL_SPANS)):
        _add(acts, told)
    if not tools and not acts:
        return None
    kept = tuple(Tool(tool.name, bounded(tool.description)) for tool in tools)
    return ToolRecord(kept, tuple(acts[-MAX_ACTS:]))


def bounded(text: str, most: int = MAX_CHARS) -> str:
    """A text with its middle left out where it is longer than `most` characters."""
    half = most // 2
    return text if len(text) <= most else text[:half] + _CUT + text[-half:]


def _told_apart(given: Any) -> list[Act]:
    """The calls of `tool_spans`; what is none is passed over."""
    items = [one for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
    return [
        Act(
            name=_text(one, "name"),
            arguments=bounded(_text(one, "arguments")),
            call_id=_text(one, "call_id"),
            result=bounded(_text(one, "result")) if isinstance(one.get("result"), str) else None,
            status=_STATUS.get(_text(one, "status"), "unknown"),
            at_s=float(at_s) if isinstance(at_s := one.get("at_s"), int | float) else None,
        )
        for one in items[-MAX_ACTS:]
    ]


def _text(one: Mapping[str, Any], name: str) -> str:
    value = one.get(name)
    return value if isinstance(value, str) else ""


def _add(acts: list[Act], told: Act) -> None:
    """Complete the act that was told apart, or append it."""
    place = _told_place(acts, told)
    if place is None:
        acts.append(told)
        return
    known = acts[place]
    acts[place] = msgspec.structs.replace(
        known,
        name=known.name or told.name,
        arguments=known.arguments or told.arguments,
        result=told.result if known.result is None else known.result,
        status=told.status if known.status == "unknown" else known.status,
        at_s=told.at_s if known.at_s is None else known.at_s,
    )


def _told_place(acts: Sequence[Act], told: Act) -> int | None:
    """Which act was told apart: of those with its id the last, else of those alike the last that lacks an end."""
    same = [i for i, act in enumerate(acts) if told.call_id and act.call_id == told.call_id]
    if same:
        return same[-1]
    alike = [
        i
        for i, act in enumerate(acts)
        if act.name == told.name
        and (not told.call_id or not act.call_id)
        and _same_arguments(act.arguments, told.arguments)
        and act.at_s is None
    ]
    return alike[-1] if alike else None


def _same_arguments(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return bool(msgspec.json.decode(one) == msgspec.json.decode(other))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False


def _called(call: ToolCall, turn: int) -> Act:
    return Act(name=call.name, arguments=bounded(call.arguments), call_id=call.id, turn=turn)


def _answer(acts: list[Act], message: Message, turn: int) -> None:
    told = message.result or ToolResult()
    text = bounded(message.content)
    place = _place(acts, told, turn)
    if place is not None and acts[place].result is None:
        acts[place] = msgspec.structs.replace(
            acts[place], result=text, status=told.status, at_s=told.at_s
        )
        return
    call = Act(name=told.name, call_id=told.call_id) if place is None else acts[place]
    acts.append(
        msgspec.structs.replace(call, result=text, status=told.status, at_s=told.at_s, turn=turn)
    )


def _place(acts: Sequence[Act], told: ToolResult, turn: int) -> int | None:
    """Which of the acts a result belongs to."""
    if told.call_id:
        same = [i for i, act in enumerate(acts) if act.call_id == told.call_id]
        waiting = [i for i in same if acts[i].result is None]
        found = waiting or same
        return found[-1] if found else None
    open_ = [i for i, act in enumerate(acts) if act.result is None and act.turn == turn]
    if told.name:
        open_ = [i for i in open_ if acts[i].name == told.name]
    return open_[0] if open_ else None
