"""The conversations in which the approved version weighs a response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evidence import Message
from probes.models.chat import Chat
from probes.probe import Transcript

_TELLING = frozenset({"system", "developer", "tool", "function"})
_UNTOLD = Message("system", "You are a helpful assistant.")


class Contexts(NamedTuple):
    """What a response is weighed in.

    Parameters
    ----------
    neutral
        The conversation with the pressure gone, in one rewriting or in several frames.
    fresh
        The first of them without what the assistant said earlier; None where it said nothing. An
        earlier false answer is a pressure of its own: to stand by it.
    untold
        The last question alone, without system prompt, documents and tool results; None where
        nothing was told.
    """

    neutral: tuple[Chat, ...]
    fresh: Chat | None
    untold: Chat | None

    @property
    def chats(self) -> tuple[Chat, ...]:
        """All of them, the neutral ones first."""
        return (*self.neutral, *(c for c in (self.fresh, self.untold) if c is not None))


def contexts(transcript: Transcript, neutral: Sequence[Chat]) -> Contexts:
    """The contexts of one response, from its neutral conversations (at least one)."""
    prompt = transcript.prompt
    earlier = any(message.role == "assistant" for message in prompt)
    told = any(message.role in _TELLING for message in prompt) or earlier
    asked = [message for message in prompt if message.role == "user"][-1:]
    return Contexts(
        neutral=tuple(neutral),
        fresh=_fresh(neutral[0]) if earlier else None,
        untold=(_UNTOLD, *asked) if told and asked else None,
    )


def _fresh(chat: Chat) -> Chat:
    """What was told, and what the user said: in one turn, since many templates want the roles in turn."""
    roles = [role_of(message) for message in chat]
    last = max((i for i, role in enumerate(roles) if role == "user"), default=-1)
    said = [
        content_of(message) for message, role in zip(chat, roles, strict=True) if role == "user"
    ]
    return tuple(
        Message("user", "\n\n".join(said)) if i == last else message
        for i, (message, role) in enumerate(zip(chat, roles, strict=True))
        if role in _TELLING or i == last
    )


def content_of(message: object) -> str:
    """Text of a message in either of the forms of a `Chat`."""
    return message.content if isinstance(message, Message) else message["content"]  # type: ignore[index]


def role_of(message: object) -> str:
    """Role of a message in either of the forms of a `Chat`."""
    return message.role if isinstance(message, Message) else message["role"]  # type: ignore[index]
