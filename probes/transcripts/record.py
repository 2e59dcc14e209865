"""One conversation of an input file, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from evidence import Message
from probes.probe import Transcript

_WORDS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


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


def label_of(value: Any) -> bool | None:
    """Whether a label says lie; None when it says neither. Tables hold their labels as text.

    >>> [label_of(value) for value in (True, 0, "True", "0", None, "lie", float("nan"))]
    [True, False, True, False, None, None, None]
    """
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower())
    return bool(value) if isinstance(value, bool | int | float) and value in {0, 1} else None


def made(
    name: str, messages: Sequence[Message], fields: dict[str, Any], where: str, *, model: str = ""
) -> Record:
    """The record of these messages; an error unless they end with the assistant."""
    transcript = Transcript(id=name, messages=tuple(messages), model=model)
    if not transcript.is_measurable:
        return Record(name, None, fields, where, "the conversation does not end with the assistant")
    return Record(name, transcript, fields, where)
