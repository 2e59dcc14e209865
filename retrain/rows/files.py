"""Rows as JSONL or Parquet files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from evidence import BadInputError
from retrain.rows.row import Row, parse_row

_CHUNK = 4096


def iter_rows(path: Path | str) -> Iterator[Row]:
    """Read a `.jsonl` or `.parquet` file row by row, in constant memory.

    Raises BadInputError naming the file and line (Parquet: row) of the first bad record, and for a
    file that is missing or has another suffix.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInputError("no such file", str(path))
    if path.suffix == ".parquet":
        return _iter_parquet(path)
    if path.suffix in {".jsonl", ".ndjson", ".json"}:
        return _iter_jsonl(path)
    raise BadInputError("rows are read from .jsonl or .parquet", str(path))


def read_rows(path: Path | str) -> list[Row]:
    """All rows of a file; errors as for `iter_rows`."""
    return list(iter_rows(path))


def write_rows(path: Path | str, rows: Iterable[Row]) -> int:
    """Write rows as JSONL or Parquet by suffix, whole or not at all; returns their number."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        if path.suffix == ".parquet":
            count = _write_parquet(partial, rows)
        else:
            count = _write_jsonl(partial, rows)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _iter_jsonl(path: Path) -> Iterator[Row]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.isspace():
                continue
            where = f"{path}:{number}"
            try:
                data = decoder.decode(line)
            except msgspec.DecodeError as error:
                raise BadInputError(f"not a JSON object: {error}", where) from error
            except UnicodeDecodeError as error:
                raise BadInputError("not UTF-8", where) from error
            yield parse_row(data, where)


def _iter_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa  # noqa: PLC0415 -- of the retrain extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        file = pq.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(batch_size=_CHUNK):
            for data in batch.to_pylist():
                number += 1
                yield parse_row(data, f"{path}:row {number}")
    except (pa.ArrowException, OSError) as error:
        raise BadInputError(f"not a readable Parquet file: {error}", str(path)) from error


def _write_jsonl(path: Path, rows: Iterable[Row]) -> int:
    encoder = msgspec.json.Encoder()
    count = 0
    with path.open("wb") as out:
        for row in rows:
            out.write(encoder.encode(row.to_dict()) + b"\n")
            count += 1
        out.flush()
        os.fsync(out.fileno())
    return count


def _write_parquet(path: Path, rows: Iterable[Row]) -> int:
    import pyarrow as pa  # noqa: PLC0415 -- of the retrain extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    # One schema for the file: a first pass over all rows, since a later row may carry more columns.
    data = [row.to_dict() for row in rows]
    for item in data:
        if not item["provenance"]:
            item["provenance"] = {"source": None}
    table = pa.Table.from_pylist(data, schema=_schema(data))
    pq.write_table(table, path)
    return len(data)


def _schema(data: list[dict[str, Any]]) -> Any:
    import pyarrow as pa  # noqa: PLC0415 -- of the retrain extra

    names = dict.fromkeys(name for item in data for name in item)
    try:
        return pa.schema(
            [pa.field(name, pa.infer_type([item.get(name) for item in data])) for name in names]
        )
    except pa.ArrowInvalid as error:
        raise BadInputError(f"a column mixes types, which Parquet cannot hold: {error}") from error
