"""One message of a conversation, as every package knows it."""

from __future__ import annotations

import msgspec


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool that a message called; `arguments` is text, JSON where they were structured."""

    name: str
    arguments: str = ""


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a conversation in OpenAI chat format.

    `reasoning` is what the model thought aloud; it is no part of `content` and never scored as it.
    """

    role: str
    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
