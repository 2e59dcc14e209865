"""One training row in TRL's formats, where it came from, and its digest."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Any

import msgspec

from candor_guard.messages import Message
from candor_guard.rows.canonical import canonical, instant

COLUMNS = ("messages", "prompt", "completion", "label", "chosen", "rejected")
"""What trainers learn from. Further columns are kept beside them."""

IMAGE_COLUMNS = frozenset({"image", "images"})

_TRAINED = frozenset(COLUMNS)


class RowKind(StrEnum):
    """How a trainer reads the row."""

    SFT = "sft"
    KTO = "kto"
    DPO = "dpo"
    UNREADABLE = "unreadable"


class Provenance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a row came from. A missing `source` is an unknown origin.

    Parameters
    ----------
    source, source_version
        Data set or service, and its version (for rows from feedback: the assistant's model).
    response_id, feedback_id
        The measured response and the signal that chose it; None for rows not made from traffic.
    rater
        Pseudonym of the user who gave the signal.
    collected_at
        RFC 3339 time at which the row was taken.
    purpose
        Why its turn was made, where that was no user's question.
    """

    source: str | None = None
    source_version: str | None = None
    response_id: str | None = None
    feedback_id: str | None = None
    rater: str | None = None
    collected_at: str | None = None
    purpose: str | None = None


class ChatMessage(Message, frozen=True):
    """A message of a row: its role, the text that it says, and all that a chat template may read.

    `given` holds every further field (`tool_calls`, `name`, `tool_call_id`, `thinking`,
    `weight`, …), and `content` where that is no plain text: its parts, or None where a message
    that only calls tools has none.
    """

    given: dict[str, Any] = {}  # noqa: RUF012 -- copied by msgspec

    def as_dict(self) -> dict[str, Any]:
        """The message as a trainer's chat template reads it."""
        fields = {"role": self.role, "content": self.content, **self.given}
        return {name: value for name, value in fields.items() if value is not None}


Text = str | tuple[ChatMessage, ...]


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One training example: SFT `messages` (or `prompt` with `completion`), KTO
    `prompt, completion, label`, DPO `chosen, rejected` with an optional `prompt`.

    Parameters
    ----------
    extra
        Further columns of the input; they are part of the digest, since a trainer may read them.
    images
        SHA-256 of each image of the columns `image` and `images`, in order: what the digest is
        made of in their place.
    unreadable
        Why no trainer's format was found in the record, whose columns are then all in `extra`.
    """

    messages: tuple[ChatMessage, ...] | None = None
    prompt: Text | None = None
    completion: Text | None = None
    label: bool | None = None
    chosen: Text | None = None
    rejected: Text | None = None
    provenance: Provenance = Provenance()
    extra: dict[str, Any] = {}
    images: tuple[str, ...] = ()
    unreadable: str = ""

    @property
    def kind(self) -> RowKind:
        if self.unreadable:
            return RowKind.UNREADABLE
        if self.chosen is not None:
            return RowKind.DPO
        return RowKind.KTO if self.label is not None else RowKind.SFT

    @property
    def endorses(self) -> bool:
        """Whether training on the row makes its response likelier; a thumbs-down row does not."""
        return self.label is not False

    def content(self) -> dict[str, Any]:
        """What a trainer sees: the columns without the provenance."""
        columns = {
            name: _column(value) for name in COLUMNS if (value := getattr(self, name)) is not None
        }
        return {**columns, **self.extra}

    def to_dict(self) -> dict[str, Any]:
        """The row as it is written: its columns and the `provenance` object."""
        return {"provenance": msgspec.to_builtins(self.provenance), **self.content()}

    def digest(self) -> bytes:
        """SHA-256 (32 bytes) of columns and provenance: what a manifest is made of.

        It does not depend on the file that the row came from (`candor_guard.rows.canonical`).
        """
        plain = self._plain()
        if plain is not None:
            return hashlib.sha256(_encoder.encode(plain)).digest()
        columns = self.to_dict()
        if self.images:
            columns = {name: columns[name] for name in columns.keys() - IMAGE_COLUMNS}
            columns["images"] = self.images
        return hashlib.sha256(canonical(columns, verbatim=_TRAINED)).digest()

    def _plain(self) -> _Plain | None:
        """What encodes as the canonical form of the row does; None where that takes a closer look."""
        if self.extra or self.images or not isinstance(self.label, bool | None):
            return None
        texts = (self.messages, self.prompt, self.completion, self.chosen, self.rejected)
        for text in texts:
            if isinstance(text, tuple):
                for message in text:
                    # What is not written as its role and text alone.
                    if message.given or message.reasoning or message.tool_calls:
                        return None
        return _Plain(_timed(self.provenance), *texts, self.label)

    def prompt_messages(self) -> tuple[Message, ...]:
        """The conversation before the response that the row trains."""
        if self.messages is not None:
            return tuple(self.messages[:-1])
        if self.prompt is None:
            return _as_messages(self.chosen, "assistant")[:-1]
        # A completion of several turns, such as a call of a tool and what came of it, ends in the response.
        answer = self.completion if self.completion is not None else self.chosen
        return (*_as_messages(self.prompt, "user"), *_as_messages(answer, "assistant")[:-1])

    def response_text(self) -> str:
        """The response that the row trains (the chosen one of a pair)."""
        if self.messages is not None:
            return self.messages[-1].content
        value = self.completion if self.completion is not None else self.chosen
        said = _as_messages(value, "assistant")
        return said[-1].content if said else ""


class _Plain(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The columns of a row without any further, as they are written."""

    provenance: Provenance
    messages: Text | None = None
    prompt: Text | None = None
    completion: Text | None = None
    chosen: Text | None = None
    rejected: Text | None = None
    label: bool | None = None


_encoder = msgspec.json.Encoder(order="sorted")
_ORIGIN = Provenance.__struct_fields__


def _timed(origin: Provenance) -> Provenance:
    """The provenance with each time in its one form, as `canonical` writes it."""
    timed = {}
    for place, text in enumerate(msgspec.structs.astuple(origin)):
        if text is not None and text[4:5] == "-":
            timed[_ORIGIN[place]] = instant(text)
    return msgspec.structs.replace(origin, **timed) if timed else origin


def _column(value: Any) -> Any:
    return [message.as_dict() for message in value] if isinstance(value, tuple) else value


def _as_messages(value: Text | None, role: str) -> tuple[Message, ...]:
    if value is None:
        return ()
    return (Message(role, value),) if isinstance(value, str) else tuple(value)
