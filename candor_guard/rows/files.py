"""Rows as JSONL or Parquet files, or in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from candor_guard.errors import BadInputError
from candor_guard.reading import object_of, read_items
from candor_guard.reading.arrow import arrow_records
from candor_guard.rows.folders import saved_dataset, shards
from candor_guard.rows.parse import parse_row, provenance_of, row_or_unreadable
from candor_guard.rows.plain import provenance_or_json, row_or_json
from candor_guard.rows.row import Provenance, Row

_CHUNK = 4096

Rows = Path | str | Iterable[Row | Mapping[str, Any]]
"""A file or folder; rows; records; or a `datasets.Dataset`."""


def iter_rows(source: Rows, *, keep_unreadable: bool = False) -> Iterator[Row]:
    """Read rows one by one, in constant memory.

    Raises BadInputError naming the file and line (Parquet: row) of the first bad record, and for a
    file that is missing.

    Parameters
    ----------
    source
        A file (JSON lines or an array, Parquet, packed or not), a folder of such shards or of
        `Dataset.save_to_disk`, a `datasets.Dataset`, or rows or records in memory.
    keep_unreadable
        Whether a record that is no row becomes one that says why (`Row.unreadable`), which the
        gate quarantines. What is no record at all is an error in any case: of a broken file nobody
        knows where its rows are.
    """
    parse = row_or_unreadable if keep_unreadable else parse_row
    if not isinstance(source, str | Path):
        return _in_memory(source, parse)
    path = Path(source)
    saved = saved_dataset(path) if path.is_dir() else None
    if saved is not None:
        return _in_memory(saved, parse)
    return (
        item.value
        if isinstance(item.value, Row)
        else parse(object_of(item), item.where, folder=file.parent)
        for file in _files(path)
        for item in read_items(file, decode=row_or_json)
    )


def iter_provenance(path: Path) -> Iterator[Provenance]:
    """The provenance of each row of a file or folder, in a quarter of the time that reading the rows takes.

    Raises BadInputError as `iter_rows` that keeps unreadable rows.
    """
    if path.is_dir() and saved_dataset(path) is not None:
        return (row.provenance for row in iter_rows(path, keep_unreadable=True))
    return (
        item.value
        if isinstance(item.value, Provenance)
        else provenance_of(object_of(item), item.where)
        for file in _files(path)
        for item in read_items(file, decode=provenance_or_json)
    )


def _files(path: Path) -> Sequence[Path]:
    """The file, or the shards of the folder."""
    if path.is_dir():
        return shards(path)
    if path.is_file():
        return [path]
    raise BadInputError("no such file", str(path))


def read_rows(source: Rows, *, keep_unreadable: bool = False) -> list[Row]:
    """All rows of a source; as `iter_rows`."""
    return list(iter_rows(source, keep_unreadable=keep_unreadable))


def write_rows(path: Path | str, rows: Iterable[Row]) -> int:
    """Write rows as JSONL or Parquet by suffix, whole or not at all; returns their number.

    Raises BadInputError for values that the format cannot hold.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        if path.suffix == ".parquet":
            count = _write_parquet(partial, rows, str(path))
        else:
            count = _write_jsonl(partial, rows, str(path))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def dataset_records(dataset: Any) -> Iterator[dict[str, Any]]:
    """Records as Arrow holds them: images stay bytes or paths, and no transform is run."""
    for table in dataset.with_format("arrow").iter(batch_size=_CHUNK):
        yield from arrow_records(table)


def _in_memory(source: Iterable[Any], parse: Callable[..., Row]) -> Iterator[Row]:
    if hasattr(source, "with_format") and hasattr(source, "column_names"):
        source = dataset_records(source)
    for number, item in enumerate(source, 1):
        if isinstance(item, Row):
            yield item
        elif isinstance(item, Mapping):
            yield parse(dict(item), f"row {number}")
        else:
            raise BadInputError(f"a row is a record, not {type(item).__name__}", f"row {number}")


def _write_jsonl(path: Path, rows: Iterable[Row], where: str) -> int:
    encoder = msgspec.json.Encoder()
    count = 0
    with path.open("wb") as out:
        for row in rows:
            count += 1
            try:
                line = encoder.encode(row.to_dict())
            except OverflowError:  # an integer of more than 64 bits, which JSON itself allows
                line = json.dumps(row.to_dict(), ensure_ascii=False).encode()
            except TypeError as error:
                raise BadInputError(f"JSON cannot hold row {count}: {error}", where) from error
            out.write(line + b"\n")
        out.flush()
        os.fsync(out.fileno())
    return count


def _write_parquet(path: Path, rows: Iterable[Row], where: str) -> int:
    import pyarrow as pa  # noqa: PLC0415 -- of the retrain extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    # One schema for the file: a first pass over all rows, since a later row may carry more columns.
    data = [row.to_dict() for row in rows]
    for item in data:
        if not item["provenance"]:
            item["provenance"] = {"source": None}
    try:
        names = dict.fromkeys(name for item in data for name in item)
        columns = {name: pa.array([item.get(name) for item in data]) for name in names}
        pq.write_table(pa.table(columns), path)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInputError(
            f"Parquet cannot hold these rows, write .jsonl instead: {reason}", where
        ) from error
    return len(data)
