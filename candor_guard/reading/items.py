"""The values of a file, one by one: JSON lines, JSON arrays and objects, CSV, Parquet."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Literal

from candor_guard.errors import BadInputError
from candor_guard.reading.documents import array_items, document_items
from candor_guard.reading.item import LARGEST, Item
from candor_guard.reading.packing import HEAD, Source, check_file, opened, unpacked
from candor_guard.reading.shapes import looks_like, rows_within
from candor_guard.reading.tables import csv_items, delimiter_of, parquet_items
from candor_guard.reading.text import BOM, decode_json

Decode = Callable[[bytes], tuple[Any, str | None]]
"""What a line holds and None, or None and why it holds nothing; raises for no line."""

_LOOK = 16
_TRUNCATED = "not JSON: Input data was truncated"


def read_items(
    path: Path, *, stdin: IO[bytes] | None = None, decode: Decode = decode_json
) -> Iterator[Item]:
    """The values of a file in its order and in constant memory; `-` reads standard input.

    A value that cannot be read is an item with `error`, and the next one is read. Objects come as
    they are, a conversation that is a bare list of turns as that list. `decode` reads JSON lines; other
    files hold what they hold.

    Raises BadInputError at once for a file that is missing, and while reading where a file cannot be
    read on (a broken archive, an array that does not end).
    """
    check_file(path)
    return _read(path, stdin, decode)


def read_objects(
    path: Path, *, stdin: IO[bytes] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """`(where, object)` for each value of a file, as `read_items`.

    Raises BadInputError naming the first value that cannot be read or is no object.
    """
    for item in read_items(path, stdin=stdin):
        yield item.where, object_of(item)


def object_of(item: Item) -> dict[str, Any]:
    """The item's object. Raises BadInputError where it is none."""
    if item.error is not None:
        raise BadInputError(item.error, item.where)
    if not isinstance(item.value, dict):
        seems = looks_like(item.value)
        raise BadInputError(
            "not a JSON object" + (f": looks like {seems}" if seems else ""), item.where
        )
    return item.value


def items_of(data: bytes, name: str, filename: str = "") -> Iterator[Item]:
    """The values of bytes, such as the body of a request, as `read_items`."""
    with unpacked(io.BytesIO(data), name, filename) as source:
        yield from _items(source)


def line_items(
    lines: Iterable[bytes],
    name: str,
    decode: Decode = decode_json,
    share: Callable[[], float] = lambda: 0.0,
) -> Iterator[Item]:
    """The values of JSON lines; blank lines are skipped and counted. `share` is asked now and then."""
    read = share()
    for number, line in enumerate(lines, start=1):
        if number % _LOOK == 0:
            read = share()
        where, label = f"{name}:{number}", f"line-{number}"
        if len(line) > LARGEST:
            yield Item(where, number, label, None, f"larger than {LARGEST >> 20} MiB", read)
        elif line.strip().removeprefix(BOM):
            value, problem = decode(line)
            yield Item(where, number, label, value, problem, read)


def _read(path: Path, stdin: IO[bytes] | None, decode: Decode) -> Iterator[Item]:
    with opened(path, stdin) as source:
        yield from _items(source, decode)


def _items(source: Source, decode: Decode = decode_json) -> Iterator[Item]:
    if source.head.startswith(b"PAR1"):
        yield from parquet_items(source)
        return
    mark = delimiter_of(source.head, source.suffix)
    if mark is not None:
        yield from csv_items(source, mark)
        return
    layout = _layout(source.head, len(source.head) < HEAD)
    if layout == "lines":
        found = line_items(_lines(source), source.name, decode, source.share)
    elif layout == "array":
        found = (item._replace(share=source.share()) for item in array_items(source))
    else:
        found = (item._replace(share=source.share()) for item in document_items(source))
    for item in found:
        if isinstance(item.value, dict):
            yield from _unwrapped(item)
        else:
            yield item


def _layout(head: bytes, whole: bool) -> Literal["lines", "array", "documents"]:
    """How JSON values stand in a file that begins so; `whole` says that the file is this head."""
    body = head.removeprefix(BOM).lstrip()
    if body[:1] not in {b"{", b"["}:
        return "lines"
    is_array = body.startswith(b"[")
    lines = [line for line in re.split(rb"[\r\n]+", body) if line.strip()]
    _, problem = decode_json(lines[0])
    if problem is None:
        lists = len(lines) > 1 and lines[1].lstrip().startswith(b"[")
        return "lines" if lists or not is_array else "array"
    if is_array:
        return "array"
    if whole and decode_json(body)[1] is None:
        return "documents"
    ends_early = problem == _TRUNCATED and len(lines) > 1
    next_alone = len(lines) > 2 and decode_json(lines[1])[1] is None
    return "documents" if ends_early and not next_alone else "lines"


def _lines(source: Source) -> Iterator[bytes]:
    """Lines, which a lone carriage return may end as well; one too long comes cut."""
    if b"\r" in source.head and b"\n" not in source.head:
        rest = b""
        while part := source.file.read(HEAD):
            *whole, rest = re.split(rb"\r\n?|\n", rest + part)
            yield from whole
        yield rest
        return
    while line := source.file.readline(LARGEST + 1):
        yield line
        while len(line) > LARGEST and not line.endswith(b"\n"):
            line = source.file.readline(LARGEST + 1)


def _unwrapped(item: Item) -> Iterator[Item]:
    """The rows within an object that only wraps them, such as `{"data": […]}`; else the item."""
    found = rows_within(item.value)
    if found is None:
        yield item
        return
    key, rows = found
    for k, row in enumerate(rows):
        yield item._replace(
            where=f"{item.where} {key}[{k}]", name=f"{item.name}-{k + 1}", value=row
        )
