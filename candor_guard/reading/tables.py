"""Rows of CSV and Parquet, one by one."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from candor_guard.errors import BadInputError
from candor_guard.reading.arrow import arrow_records
from candor_guard.reading.item import LARGEST, Item
from candor_guard.reading.packing import Source

_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_ROWS = 1024


def delimiter_of(head: bytes, suffix: str) -> str | None:
    """The mark between the columns of a table; None where the text is none.

    Without the name of a table, a text is one when its first two lines have the same number of cells.
    """
    lines = re.split(r"\r\n?|\n", head.decode("utf-8-sig", "replace"), maxsplit=2)[:2]
    if suffix in {".csv", ".tsv"}:
        marks = "\t" if suffix == ".tsv" else ",;\t|"
        bare = re.sub(r'"[^"]*"', "", lines[0]) if lines else ""
        return max(marks, key=bare.count)
    if suffix or len(lines) < 2 or not lines[1] or lines[0].lstrip()[:1] in {"", "{", "["}:
        return None
    counts = {mark: {len(row) for row in csv.reader(lines, delimiter=mark)} for mark in ",;\t"}
    return next((mark for mark, n in counts.items() if len(n) == 1 and min(n) > 1), None)


def csv_items(source: Source, mark: str) -> Iterator[Item]:
    """Rows under a header, empty cells left out; lines within quoted cells are counted."""
    csv.field_size_limit(LARGEST)
    file = io.TextIOWrapper(source.file, "utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(file, delimiter=mark, strict=True)
    begin = 1
    try:
        names = next(reader, [])
        _check_header(names, source.name)
        begin = reader.line_num + 1
        for cells in reader:
            where, name = f"{source.name}:{begin}", f"line-{begin}"
            number, begin = begin, reader.line_num + 1
            if not cells:
                continue
            values = {k: v for k, v in zip(names, cells, strict=False) if v}
            problem = None
            if len(cells) > len(names):
                problem = f"{len(cells) - len(names)} cells more than columns"
            if any(_NOT_UTF8.search(cell) for cell in cells):
                problem = "not UTF-8 text, perhaps Latin-1"
            yield Item(where, number, name, None if problem else values, problem, source.share())
    except csv.Error as error:
        raise BadInputError(f"not CSV: {error}", f"{source.name}:{begin}") from error


def _check_header(names: list[str], name: str) -> None:
    if any(_NOT_UTF8.search(one) for one in names):
        raise BadInputError("not UTF-8 text, perhaps Latin-1", f"{name}:1")
    twice = next((one for k, one in enumerate(names) if one in names[:k]), None)
    if twice is not None:
        raise BadInputError(f"two columns are named `{twice}`", f"{name}:1")


def parquet_items(source: Source) -> Iterator[Item]:
    """Rows of a Parquet file. Raises BadInputError without pyarrow and for a broken file."""
    try:
        import pyarrow as pa  # noqa: PLC0415 -- an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise BadInputError(
            "is Parquet, which needs pyarrow: pip install 'candor-monitor[retrain]'", source.name
        ) from error
    try:
        # Parquet's index stands at its end: a packed file or a pipe is read as a whole.
        file = pq.ParquetFile(source.seekable or pa.BufferReader(source.file.read()))
        total, number = max(1, file.metadata.num_rows), 0
        for batch in file.iter_batches(batch_size=_ROWS):
            for values in arrow_records(batch):
                number += 1
                where: Any = f"{source.name}:row {number}"
                yield Item(where, number, f"row-{number}", values, None, number / total)
    except (pa.ArrowException, OSError, ValueError) as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise BadInputError(f"not a readable Parquet file: {first[0]}", source.name) from error
