"""One message of a conversation, as every package knows it."""

from __future__ import annotations

from typing import Literal

import msgspec

ToolStatus = Literal["ok", "failed", "unknown"]
"""What a record itself says of a tool's result; what its text says is not read here."""


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool that a message called; `arguments` is text, JSON where they were structured."""

    name: str
    arguments: str = ""
    id: str = ""


class ToolResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is recorded of a tool's answer beside its text, which is the message's content.

    Parameters
    ----------
    call_id
        Id of the call that it answers; "" where the record has none.
    name
        Name of the tool; "" where the record has none.
    at_s
        When it answered, seconds since the epoch, UTC.
    """

    call_id: str = ""
    name: str = ""
    status: ToolStatus = "unknown"
    at_s: float | None = None


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a conversation in OpenAI chat format.

    `reasoning` is what the model thought aloud; it is no part of `content` and never scored as it.
    `result` stands beside the text of a tool's answer (role `tool`); None where nothing is known of it.
    """

    role: str
    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    result: ToolResult | None = None
