"""Records that come over HTTP: checked as records from Kafka are, all or none, and readied for a topic."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from evidence import Feedback, Response
from monitor.ingest.encode import encode_feedback, encode_response
from monitor.ingest.options import IngestOptions
from monitor.ingest.records import DeadLetter

Record = Response | Feedback
Decode = Callable[..., Record | DeadLetter | list[Response | DeadLetter]]
_FIELD = re.compile(r"at `\$\.?([^`]*)`|field `([^`]+)`|^`([^`]+)`")


class Checked(msgspec.Struct, frozen=True):
    """The records that are well, and (where, what) of each that is not."""

    accepted: tuple[Record, ...]
    errors: tuple[tuple[str, str], ...]


def check(
    raws: Sequence[bytes], decode: Decode, *, options: IngestOptions, key: bytes, now_s: float
) -> Checked:
    """Decode every record; `decode`, `options`, `key` and `now_s` as in `decode_response`."""
    accepted: list[Record] = []
    errors: list[tuple[str, str]] = []
    for index, raw in enumerate(raws):
        found = decode(raw, options=options, key=key, now_s=now_s)
        sorted_out = sort_out(
            found if isinstance(found, list) else [found], index if len(raws) > 1 else None
        )
        accepted += sorted_out.accepted
        errors += sorted_out.errors
    return Checked(tuple(accepted), tuple(errors))


def sort_out(found: Sequence[Record | DeadLetter], index: int | None = None) -> Checked:
    """The records that are well, and where and why of the others; `index` is their place in a list."""
    return Checked(
        tuple(record for record in found if not isinstance(record, DeadLetter)),
        tuple(_field_error(one, index) for one in found if isinstance(one, DeadLetter)),
    )


def assistant_of(record: Record) -> str:
    """The assistant that a record is about."""
    return record.stratum.assistant if isinstance(record, Response) else record.assistant


def routing_key(record: Record) -> bytes:
    """Kafka's partitioning key: a conversation stays in order; feedback follows its response's id."""
    if isinstance(record, Response):
        return record.conversation_id.encode()
    return record.response_id.encode()


def encode(record: Record) -> bytes:
    """The record as its topic carries it, with the pseudonym in place of the user id."""
    return encode_response(record) if isinstance(record, Response) else encode_feedback(record)


def _field_error(letter: DeadLetter, index: int | None) -> tuple[str, str]:
    found = _FIELD.search(letter.detail)
    field = next((group for group in found.groups() if group), "") if found else ""
    prefix = "" if index is None else f"[{index}]"
    where = f"{prefix}.{field}" if prefix and field else prefix or field or "body"
    return where, f"{letter.reason.value}: {letter.detail}"
