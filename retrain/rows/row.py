"""One training row in TRL's formats, where it came from, and the hashes of both."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Any

import msgspec

from evidence import BadInputError, Message

_COLUMNS = ("messages", "prompt", "completion", "label", "chosen", "rejected")


class RowKind(StrEnum):
    """How a trainer reads the row."""

    SFT = "sft"
    KTO = "kto"
    DPO = "dpo"


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
    """

    source: str | None = None
    source_version: str | None = None
    response_id: str | None = None
    feedback_id: str | None = None
    rater: str | None = None
    collected_at: str | None = None


class ChatMessage(Message, frozen=True, forbid_unknown_fields=True):
    """A message of a row. Unknown fields are refused, since dropping them would change the training."""


Text = str | tuple[ChatMessage, ...]


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One training example: SFT `messages` (or `prompt` with `completion`), KTO
    `prompt, completion, label`, DPO `chosen, rejected` with an optional `prompt`.

    `extra` keeps further columns of the input; they are part of the content hash, since a trainer
    may read them.
    """

    messages: tuple[ChatMessage, ...] | None = None
    prompt: Text | None = None
    completion: Text | None = None
    label: bool | None = None
    chosen: Text | None = None
    rejected: Text | None = None
    provenance: Provenance = Provenance()
    extra: dict[str, Any] = {}

    @property
    def kind(self) -> RowKind:
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
            name: msgspec.to_builtins(value)
            for name in _COLUMNS
            if (value := getattr(self, name)) is not None
        }
        return {**columns, **self.extra}

    def to_dict(self) -> dict[str, Any]:
        """The row as it is written: its columns and the `provenance` object."""
        return {**self.content(), "provenance": msgspec.to_builtins(self.provenance)}

    @property
    def content_hash(self) -> str:
        """SHA-256 of the columns: equal for rows that train alike, whatever their origin."""
        return hashlib.sha256(_canonical(self.content())).hexdigest()

    def digest(self) -> bytes:
        """SHA-256 (32 bytes) of columns and provenance: what a manifest is made of."""
        return hashlib.sha256(_canonical(self.to_dict())).digest()

    def prompt_messages(self) -> tuple[Message, ...]:
        """The conversation before the response that the row trains."""
        if self.messages is not None:
            return tuple(self.messages[:-1])
        if self.prompt is None:
            chosen = _as_messages(self.chosen, "assistant")
            return chosen[:-1]
        return _as_messages(self.prompt, "user")

    def response_text(self) -> str:
        """The response that the row trains (the chosen one of a pair)."""
        if self.messages is not None:
            return self.messages[-1].content
        value = self.completion if self.completion is not None else self.chosen
        return _as_messages(value, "assistant")[-1].content


def _as_messages(value: Text | None, role: str) -> tuple[Message, ...]:
    if value is None:
        return ()
    return (Message(role, value),) if isinstance(value, str) else tuple(value)


_encoder = msgspec.json.Encoder(order="sorted")


def _canonical(value: dict[str, Any]) -> bytes:
    return _encoder.encode(value)


def parse_row(data: dict[str, Any], where: str) -> Row:
    """A row from one decoded record; columns that are None count as absent.

    Raises BadInputError, with `where`, on a wrong type or a combination that no trainer reads.
    """
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in data.items():
        if value is None:
            continue
        if name in _COLUMNS:
            known[name] = value
        elif name == "provenance":
            known[name] = (
                {key: item for key, item in value.items() if item is not None}
                if isinstance(value, dict)
                else value
            )
        else:
            extra[name] = value
    try:
        row = msgspec.convert({**known, "extra": extra}, Row)
    except msgspec.ValidationError as error:
        raise BadInputError(str(error), where) from error
    _check(row, where)
    return row


def _check(row: Row, where: str) -> None:
    if row.messages is not None:
        if row.prompt is not None or row.completion is not None or row.chosen is not None:
            raise BadInputError("a row has either `messages` or the columns of another kind", where)
        if not row.messages or row.messages[-1].role != "assistant":
            raise BadInputError("`messages` must end with the assistant's message", where)
        return
    if row.chosen is not None or row.rejected is not None:
        if not row.chosen or not row.rejected or row.completion is not None:
            raise BadInputError("a pair has `chosen` and `rejected`, and no `completion`", where)
        return
    if not row.prompt or not row.completion:
        raise BadInputError(
            "a row has `messages`, or `prompt` and `completion`, or `chosen` and `rejected`", where
        )
