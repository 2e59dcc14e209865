"""The turns of a conversation, of which each must say something."""

from __future__ import annotations

from typing import Any, NamedTuple

from candor_guard.reading.message import SAID, Said, read_message, with_thoughts
from evidence import Message

_NAMES = ("content", "value", *SAID[1:])


class Turns(NamedTuple):
    """Messages, and what of them has no text, such as a picture."""

    messages: list[Message]
    unread: list[str]


class BadTurnError(ValueError):
    """A turn that says nothing that can be read."""


def parse_turns(raws: list[Any]) -> Turns:
    """Messages in one wording. Raises BadTurnError naming the turn.

    Reasoning goes to the assistant's turn that follows it. What a tool answered is a turn of its own.
    """
    messages: list[Message] = []
    unread: list[str] = []
    thoughts: list[str] = []
    for k, raw in enumerate(raws):
        said = read_message(raw, names=_NAMES) if isinstance(raw, dict) else None
        if said is None or _is_bare(raw, said):
            but = f", but {said.unknown[0]}" if said and said.unknown else ""
            raise BadTurnError(f"message {k} has no `role` and text `content`{but}")
        unread += [*said.unread, *said.unknown]
        thoughts += [said.thought] if said.thought else []
        for message in said.messages:
            turn = message
            if turn.role == "assistant":
                turn = with_thoughts(turn, thoughts)
                thoughts = []
            messages.append(turn)
    if thoughts:
        messages.append(with_thoughts(Message("assistant", ""), thoughts))
    return Turns(messages, unread)


def _is_bare(raw: dict[str, Any], said: Said) -> bool:
    """Whether a turn is nobody's, or holds nothing that was read; an empty text is one."""
    if said.thought is not None:
        return False
    if not said.messages:
        return True
    if any(m.content or m.reasoning or m.tool_calls or m.role == "tool" for m in said.messages):
        return False
    given = [raw[name] for name in _NAMES if raw.get(name) is not None]
    hidden = said.is_empty and all(value not in ("", []) for value in given)
    return not given or hidden or bool(said.unknown and not said.unread)
