"""One conversation of an input file, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from evidence import Message
from evidence.tools import tool_record
from probes.probe import Transcript, told_calls


class Record(NamedTuple):
    """One conversation: its transcript, or why there is none.

    `fields` holds the other columns, such as labels. `where` is `file:line`. `share` is how much of
    the file was read for it, in [0, 1]; 0 where that is not known. `unread` names what the
    conversation holds that has no text, such as a tool call or a picture.
    """

    id: str
    transcript: Transcript | None
    fields: dict[str, Any]
    where: str
    error: str | None = None
    share: float = 0.0
    unread: tuple[str, ...] = ()


def made(
    name: str,
    turns: Sequence[Message],
    fields: dict[str, Any],
    where: str,
    *,
    model: str = "",
    unread: Sequence[str] = (),
) -> Record:
    """The record of these turns; an error unless they end with an answer of the assistant.

    What is measured is the answer; the reasoning before it goes to `fields["reasoning"]`. What earlier
    turns called is told in words; calls of the measured turn are no part of what it says.
    """
    last = turns[-1] if turns else Message("", "")
    named = tuple(dict.fromkeys([*unread, *["tool call"] * bool(last.tool_calls)]))
    if last.reasoning and not fields.get("reasoning"):
        fields = {**fields, "reasoning": last.reasoning}
    problem = None
    if last.role != "assistant":
        problem = f"the conversation does not end with the assistant but with `{last.role}`"
    elif last.reasoning and not last.content.strip() and not last.tool_calls:
        problem = "the last turn is reasoning without an answer"
    if problem is not None:
        return Record(name, None, fields, where, problem, unread=named)
    messages = (*map(_told, turns[:-1]), Message(last.role, _said(last)))
    transcript = Transcript(
        id=name, messages=messages, model=model, record=tool_record(turns, fields)
    )
    return Record(name, transcript, fields, where, unread=named)


def _told(turn: Message) -> Message:
    return told_calls(msgspec.structs.replace(turn, content=_said(turn)))


def _said(turn: Message) -> str:
    return turn.content.strip() if turn.role == "assistant" else turn.content
