"""Which format a file is in, and its records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal, NamedTuple, get_args

from candor_guard.reading import Item, read_items
from candor_guard.reading.begun import begun
from candor_guard.reading.packing import check_file
from evidence import BadInputError
from probes.transcripts.chat import chat_record
from probes.transcripts.conversations import find_conversation
from probes.transcripts.deceptionbench import deceptionbench_records, is_deceptionbench
from probes.transcripts.inspect_log import is_inspect, read_inspect
from probes.transcripts.mask import is_mask, mask_records
from probes.transcripts.record import Record

Format = Literal["chat", "mask", "deceptionbench", "inspect"]
FORMATS: tuple[Format, ...] = get_args(Format)
_OF_ROWS: dict[str, Callable[[Item], Iterator[Record]]] = {
    "mask": mask_records,
    "deceptionbench": deceptionbench_records,
}
_ROWS_LOOKED_AT = 20


class Transcripts(NamedTuple):
    """An opened file of transcripts, read as its records are taken."""

    form: Format
    records: Iterator[Record]


def open_transcripts(
    path: Path, form: Format | None = None, *, stdin: IO[bytes] | None = None
) -> Transcripts:
    """The records of a file, or of standard input (`-`), in order and in constant memory.

    None finds the format: an Inspect log by its archive or first keys, results of MASK and
    DeceptionBench by the columns of the first rows; anything else is chat, whose reader says of each
    value what it lacks.

    Raises BadInputError at once when the file is missing, holds nothing, cannot be read at all, or
    holds objects of which none of the first is a conversation.
    """
    check_file(path)
    if form == "inspect" or (form is None and str(path) != "-" and is_inspect(path)):
        if str(path) == "-":
            raise BadInputError("an Inspect log is read from a file, not from a pipe", "-")
        samples, records = begun(read_inspect(path), 1)
        if not samples:
            raise BadInputError("holds nothing to score", str(path))
        return Transcripts("inspect", records)
    first, items = begun(read_items(path, stdin=stdin), _ROWS_LOOKED_AT)
    if not first:
        raise BadInputError("holds nothing to score", str(path))
    found = form or _format_of(first)
    if found == "chat":
        return Transcripts(found, map(chat_record, items))
    return Transcripts(found, _row_records(items, _OF_ROWS[found]))


def open_records(path: Path, form: Format | None = None) -> Iterator[Record]:
    """The records of `open_transcripts`."""
    return open_transcripts(path, form).records


def _format_of(first: list[Item]) -> Format:
    rows = [item.value for item in first if isinstance(item.value, dict)]
    if any("messages" in row for row in rows):
        found: Format = "chat"
    elif any(is_mask(row) for row in rows):
        return "mask"
    else:
        found = "deceptionbench" if any(is_deceptionbench(row) for row in rows) else "chat"
    if found == "chat" and len(rows) == len(first):
        reasons = [reason for row in rows if isinstance(reason := find_conversation(row), str)]
        if len(reasons) == len(rows):
            raise BadInputError(f"no known columns: {reasons[0]}", first[0].where)
    return found


def _row_records(
    items: Iterator[Item], read: Callable[[Item], Iterator[Record]]
) -> Iterator[Record]:
    for item in items:
        if item.error is None and isinstance(item.value, dict):
            for record in read(item):
                yield record._replace(share=item.share)
        else:
            problem = item.error or "not a JSON object"
            yield Record(item.name, None, {}, item.where, problem, item.share)
