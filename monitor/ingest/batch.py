"""Records that come over HTTP: checked as records from Kafka are, all or none, and readied for a topic."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from evidence import Feedback, Response
from monitor.ingest.encode import encode_feedback, encode_response
from monitor.ingest.fields import wrong_fields
from monitor.ingest.options import IngestOptions
from monitor.ingest.parts import Part, encode_part
from monitor.ingest.records import DeadLetter

Record = Response | Feedback | Part
Decode = Callable[..., Record | DeadLetter | Sequence[Record | DeadLetter]]
_TOLD = 100
"""Errors of one request beyond which a record's first is enough."""

_FIELD = re.compile(r"at `\$\.?([^`]*)`|field `([^`]+)`|^`([^`]+)`")


class Checked(msgspec.Struct, frozen=True):
    """The records that are well, how many are not, and (where, what) of what is wrong with those."""

    accepted: tuple[Record, ...]
    refused: int
    errors: tuple[tuple[str, str], ...]


def check(
    raws: Sequence[bytes],
    decode: Decode,
    *,
    options: IngestOptions,
    key: bytes,
    now_s: float,
    wire: type[msgspec.Struct] | None = None,
) -> Checked:
    """Decode every record; `decode`, `options`, `key` and `now_s` as in `decode_response`.

    With `wire`, what the fields of a record must be, all wrong fields of a refused record are told.
    """
    accepted: list[Record] = []
    refused, errors = 0, list[tuple[str, str]]()
    for index, raw in enumerate(raws):
        found = decode(raw, options=options, key=key, now_s=now_s)
        place = index if len(raws) > 1 else None
        sorted_out = sort_out(found if isinstance(found, Sequence) else [found], place)
        accepted += sorted_out.accepted
        refused += sorted_out.refused
        told: list[tuple[str, str]] = []
        if sorted_out.errors and wire is not None and len(errors) < _TOLD:
            told = [(_where(name, place), what) for name, what in wrong_fields(raw, wire)]
        errors += told or sorted_out.errors
    return Checked(tuple(accepted), refused, tuple(errors))


def sort_out(found: Sequence[Record | DeadLetter], index: int | None = None) -> Checked:
    """The records that are well, and where and why of the others; `index` is their place in a list."""
    errors = tuple(_field_error(one, index) for one in found if isinstance(one, DeadLetter))
    accepted = tuple(record for record in found if not isinstance(record, DeadLetter))
    return Checked(accepted, len(errors), errors)


def assistant_of(record: Record) -> str:
    """The assistant that a record is about."""
    return record.stratum.assistant if isinstance(record, Response) else record.assistant


def routing_key(record: Record) -> bytes:
    """Kafka's partitioning key: a conversation stays in order; feedback follows its response's id, a part its trace."""
    if isinstance(record, Response):
        return record.conversation_id.encode()
    if isinstance(record, Part):
        return record.trace_id.encode()
    return record.response_id.encode()


def encode(record: Record) -> bytes:
    """The record as its topic carries it, with the pseudonym in place of the user id."""
    if isinstance(record, Response):
        return encode_response(record)
    return encode_part(record) if isinstance(record, Part) else encode_feedback(record)


def _field_error(letter: DeadLetter, index: int | None) -> tuple[str, str]:
    found = _FIELD.search(letter.detail)
    field = next((group for group in found.groups() if group), "") if found else ""
    return _where(field, index), f"{letter.reason.value}: {letter.detail}"


def _where(field: str, index: int | None) -> str:
    prefix = "" if index is None else f"[{index}]"
    return f"{prefix}.{field}" if prefix and field else prefix or field or "body"
