"""What every probe is: a named, versioned measurement of a batch of transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from evidence import Measurement, Message
from evidence.tools import ToolRecord


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation whose last assistant message is to be measured.

    Parameters
    ----------
    id
        Opaque identifier, used in errors alone.
    messages
        OpenAI chat messages; the last one is the assistant's.
    model
        The assistant's model version, for probes that ask the model itself.
    assistant
        Name of the assistant, for a scorer that measures several.
    high_stakes
        Whether every probe of a cascade must run on it.
    record
        The tools and calls that are recorded with it; None where nothing is recorded.
    """

    id: str
    messages: tuple[Message, ...]
    model: str = ""
    assistant: str = ""
    high_stakes: bool = False
    record: ToolRecord | None = None

    @property
    def response(self) -> str:
        """The text that is measured; empty when there is no assistant turn at the end."""
        return self.messages[-1].content if self.is_measurable else ""

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The conversation before the measured turn."""
        return self.messages[:-1] if self.is_measurable else self.messages

    @property
    def is_measurable(self) -> bool:
        """Whether the conversation ends with the assistant."""
        return bool(self.messages) and self.messages[-1].role == "assistant"


def told_calls(turn: Message) -> Message:
    """An earlier turn as probes read it: what it said, and what it called in words."""
    calls = (f"[called {call.name} with {call.arguments or '{}'}]" for call in turn.tool_calls)
    return Message(turn.role, "\n".join(filter(None, (turn.content, *calls))))


@runtime_checkable
class Probe(Protocol):
    """One measurement of honesty. No probe decides alone."""

    @property
    def name(self) -> str:
        """Short lower-case name, the key of the measurement in a verdict."""
        ...

    @property
    def version(self) -> str:
        """Digest of everything that changes the result: weights, rubric, options."""
        ...

    def measure(self, transcripts: Sequence[Transcript]) -> list[Measurement]:
        """Measure a batch in order: one measurement each, never fewer, never an exception for bad text.

        A result does not depend on what else is in the batch beyond 0.01.
        """
        ...
