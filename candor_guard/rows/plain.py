"""Lines that hold a row in its plain form, read at once: what `candor retrain collect` and most exports write.

A line with anything else in it (further columns, tools, parts, images, a number where a text is expected) is left to
`candor_guard.rows.parse`, so that both readers agree on every line that both take.
"""

from __future__ import annotations

from typing import Any

import msgspec

from candor_guard.errors import BadInputError
from candor_guard.reading import decode_json
from candor_guard.rows.parse import row_of_columns
from candor_guard.rows.row import ChatMessage, Provenance


class _Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    role: str
    content: str


class _Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    source: str | None = None
    source_version: str | None = None
    response_id: str | None = None
    feedback_id: str | None = None
    rater: str | None = None
    collected_at: str | None = None
    purpose: str | None = None


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The columns of a line; a null is absent."""

    messages: tuple[_Turn, ...] | None = None
    prompt: str | tuple[_Turn, ...] | None = None
    completion: str | tuple[_Turn, ...] | None = None
    label: bool | None = None
    chosen: str | tuple[_Turn, ...] | None = None
    rejected: str | tuple[_Turn, ...] | None = None
    provenance: _Origin | None = None


_TEXTS = ("messages", "prompt", "completion", "chosen", "rejected")
_decoder = msgspec.json.Decoder(_Line)


def row_or_json(line: bytes) -> tuple[Any, str | None]:
    """The row of a plain line; of any other what `candor_guard.reading.decode_json` gives."""
    plain = _plain(line)
    if plain is None:
        return decode_json(line)
    try:
        return row_of_columns(_columns(plain), _provenance(plain.provenance), ""), None
    except BadInputError:
        return decode_json(line)


def provenance_or_json(line: bytes) -> tuple[Any, str | None]:
    """The provenance of a plain line; of any other what `candor_guard.reading.decode_json` gives."""
    plain = _plain(line)
    return decode_json(line) if plain is None else (_provenance(plain.provenance), None)


def _plain(line: bytes) -> _Line | None:
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _columns(plain: _Line) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _TEXTS:
        value = getattr(plain, name)
        if value is not None:
            found[name] = _text(value)
    if plain.label is not None:
        found["label"] = plain.label
    return found


def _text(value: str | tuple[_Turn, ...]) -> str | tuple[ChatMessage, ...]:
    if isinstance(value, str):
        return value
    return tuple([ChatMessage(turn.role, turn.content) for turn in value])


def _provenance(origin: _Origin | None) -> Provenance:
    if origin is None:
        return Provenance()
    return Provenance(
        source=origin.source,
        source_version=origin.source_version,
        response_id=origin.response_id,
        feedback_id=origin.feedback_id,
        rater=origin.rater,
        collected_at=origin.collected_at,
        purpose=origin.purpose,
    )
