"""One conversation of an input file, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from evidence import Message
from probes.probe import Transcript


class Record(NamedTuple):
    """One conversation: its transcript, or why there is none.

    `fields` holds the other columns, such as labels. `where` is `file:line`. `share` is how much of
    the file was read for it, in [0, 1]; 0 where that is not known.
    """

    id: str
    transcript: Transcript | None
    fields: dict[str, Any]
    where: str
    error: str | None = None
    share: float = 0.0


def made(
    name: str, messages: Sequence[Message], fields: dict[str, Any], where: str, *, model: str = ""
) -> Record:
    """The record of these messages; an error unless they end with the assistant."""
    transcript = Transcript(id=name, messages=tuple(messages), model=model)
    if not transcript.is_measurable:
        return Record(name, None, fields, where, "the conversation does not end with the assistant")
    return Record(name, transcript, fields, where)
