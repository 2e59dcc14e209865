"""The messages of a record as one conversation: what is no text is named, what is not known is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from candor_guard.reading.message import (
    SAID,
    THOUGHT,
    canonical_role,
    is_item,
    read_message,
    shown,
    with_thoughts,
)
from candor_guard.reading.text import clean
from evidence import Message
from monitor.ingest.records import DeadLetterReason, Refused

# Beside what is said; none of them carries words of the conversation.
_ASIDE = frozenset(
    {"role", "id", "name", "tool_call_id", "finish_reason", "annotations", "cache_control", "index"}
    | {"type", "status", "created_at", "timestamp", "metadata", "logprobs", "refusal", "channel"}
    | {"call_id", "tool_use_id", "is_error", "isError", "error"}
    | {*SAID, *THOUGHT, "tool_calls", "function_call"}
)


class Conversation(msgspec.Struct, frozen=True):
    """Messages, and which parts of them are not text (`messages[1]: image_url`)."""

    messages: tuple[Message, ...]
    unread: tuple[str, ...] = ()


def read_conversation(raws: Sequence[Mapping[str, Any]]) -> Conversation:
    """The conversation that `messages` of a record holds.

    Raises Refused (`unread_content`) naming the place and the kind of what is not known.
    """
    messages: list[Message] = []
    unread: list[str] = []
    thoughts: list[str] = []
    for number, raw in enumerate(raws):
        if raw.get("role") is None and not is_item(raw):
            why = f"Object missing required field `role` - at `$.messages[{number}]`"
            raise Refused(DeadLetterReason.MISSING_FIELD, why)
        found = _simple(raw)
        if found is None:
            said = read_message(raw)
            unknown = said.unknown or _others(raw, said.is_empty)
            if unknown:
                why = f"`messages[{number}]` holds {unknown[0]}"
                raise Refused(DeadLetterReason.UNREAD_CONTENT, why)
            unread += [f"messages[{number}]: {kind}" for kind in said.unread]
            thoughts += [said.thought] if said.thought else []
            found = said.messages
        if thoughts and found and found[-1].role == "assistant":
            found = (*found[:-1], with_thoughts(found[-1], thoughts))
            thoughts = []
        messages += found
    if thoughts:
        messages.append(with_thoughts(Message("assistant", ""), thoughts))
    return Conversation(tuple(messages), tuple(unread))


def _simple(raw: Mapping[str, Any]) -> tuple[Message, ...] | None:
    """The message of most records, a role with a text, read at once; None for any other."""
    content = raw.get("content")
    if len(raw) != 2 or not isinstance(content, str) or "<" in content or "[" in content:
        return None
    return (Message(clean(canonical_role(raw["role"])), clean(content)),)


def _others(raw: Mapping[str, Any], is_empty: bool) -> tuple[str, ...]:
    """Fields of a message that says nothing, in which its words may stand."""
    if not is_empty or any(raw.get(name) for name in SAID):
        return ()
    others = sorted(
        shown(name)
        for name, value in raw.items()
        if name not in _ASIDE and value not in (None, "", [], {}, False)
    )
    return (f"nothing but {', '.join(others[:5])}",) if others else ()
