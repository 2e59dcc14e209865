"""Which rows a registered source holds: by what a trainer reads of them, whatever else a file says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from candor_guard.files import file_sha256
from candor_guard.reading import items_of, object_of
from candor_guard.rows import Provenance, Row, iter_rows, parse_row
from evidence import BadInputError
from retrain.stored import UNSTORED_COLUMNS

_BYTES = 16
_SUFFIXES = (".parquet", ".jsonl", ".json", ".gz")


class SourceContent(msgspec.Struct, frozen=True):
    """What was read of a source: its digest (SHA-256, hex), its size and the sorted digests of its rows."""

    digest: str
    size_bytes: int
    rows: int
    row_digests: bytes


class RowSet:
    """Sorted digests in one piece of memory."""

    def __init__(self, digests: bytes) -> None:
        self._digests = digests

    def __contains__(self, digest: bytes) -> bool:
        low, high = 0, len(self._digests) // _BYTES
        while low < high:
            middle = (low + high) // 2
            found = self._digests[middle * _BYTES : (middle + 1) * _BYTES]
            if found == digest:
                return True
            low, high = (middle + 1, high) if found < digest else (low, middle)
        return False


def trained_digest(row: Row) -> bytes:
    """16 bytes of the columns that a trainer reads; further columns and the provenance may differ."""
    read = {name: value for name, value in row.extra.items() if name in UNSTORED_COLUMNS}
    bare = msgspec.structs.replace(row, provenance=Provenance(), extra=read)
    return bare.digest()[:_BYTES]


def read_source(path: Path) -> SourceContent:
    """A source as it is trained: a file of rows, or a folder of such files in the order of their names.

    Raises BadInputError for what holds no rows, and for the first record that is no row.
    """
    files = list(_files(path))
    return _content(
        (row for file in files for row in iter_rows(file)),
        digest=lambda: _digest(path, files),
        size_bytes=lambda: sum(file.stat().st_size for file in files),
        where=str(path),
    )


def source_of_bytes(data: bytes, where: str) -> SourceContent:
    """A source that came as the bytes of one file; as `read_source`, but an image by a path counts by its name."""
    return _content(
        (parse_row(object_of(item), item.where) for item in items_of(data, where)),
        digest=hashlib.sha256(data).hexdigest,
        size_bytes=lambda: len(data),
        where=where,
    )


def _content(
    rows: Iterable[Row],
    *,
    digest: Callable[[], str],
    size_bytes: Callable[[], int],
    where: str,
) -> SourceContent:
    digests = [trained_digest(row) for row in rows]
    if not digests:
        raise BadInputError("holds no rows", where)
    return SourceContent(
        digest=digest(),
        size_bytes=size_bytes(),
        rows=len(digests),
        row_digests=b"".join(sorted(set(digests))),
    )


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from sorted(p for p in path.rglob("*") if p.is_file() and p.suffix in _SUFFIXES)


def _digest(path: Path, files: Iterable[Path]) -> str:
    """Of a file its SHA-256, as `sha256sum` prints it; of a folder the SHA-256 of what `sha256sum` prints of it."""
    if not path.is_dir():
        return file_sha256(path)
    lines = (f"{file_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
