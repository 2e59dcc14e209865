"""A file as a stream of bytes: unpacked where it is packed, named where it is nothing that is read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from candor_guard.errors import BadInputError
from candor_guard.reading.text import wide_text

HEAD = 1 << 16
_DATA = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
_INSTEAD = "write it as JSON lines, CSV or Parquet"


def _zstandard(file: IO[bytes]) -> Any:
    try:
        import zstandard  # noqa: PLC0415 -- a training job need not have it
    except ModuleNotFoundError as error:
        raise BadInputError("is packed by zstd, which needs `zstandard`") from error
    return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)


_UNPACKED: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
    b"\x28\xb5\x2f\xfd": _zstandard,
}
_NAMED = {
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF",
    b"\x80\x02": "a pickle, which is never read",
    b"\x80\x03": "a pickle, which is never read",
    b"\x80\x04": "a pickle, which is never read",
    b"\x80\x05": "a pickle, which is never read",
    b"\xd0\xcf\x11\xe0": "an Office document",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x04\x22\x4d\x18": "packed by lz4",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"<!": "an HTML or XML page",
    b"<html": "an HTML or XML page",
    b"<?xml": "an HTML or XML page",
}
_BROKEN = (
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    RuntimeError,
    NotImplementedError,
)


class Source(NamedTuple):
    """An opened file.

    `head` holds its first bytes, which `file` gives again. `suffix` is that of the text within, in
    lower case. `share` says how much of the file was read, in [0, 1]; 0 of a pipe. `seekable` is the
    file itself where it is not packed and no pipe.
    """

    name: str
    file: IO[bytes]
    head: bytes
    suffix: str
    share: Callable[[], float]
    seekable: IO[bytes] | None


def check_file(path: Path) -> None:
    """Raise BadInputError unless the path is standard input (`-`) or a file that can be opened."""
    if str(path) == "-":
        return
    if path.is_dir():
        raise BadInputError(f"is a folder; name one file, and {_INSTEAD}", str(path))
    if not path.exists():
        raise BadInputError("no such file", str(path))
    try:
        path.open("rb").close()
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(path)) from error


def check_out(source: Path | None, out: Path) -> None:
    """Raise BadInputError unless `out` is another file than `source` that can be written."""
    if out.is_dir():
        raise BadInputError("is a folder; name a file", str(out))
    if source is not None and out.exists() and source.exists() and out.samefile(source):
        raise BadInputError("is the input; name another file", str(out))
    if not out.absolute().parent.is_dir():
        raise BadInputError("its folder does not exist", str(out))
    if not os.access(out if out.exists() else out.absolute().parent, os.W_OK):
        raise BadInputError("cannot be written: Permission denied", str(out))


@contextmanager
def opened(path: Path, stdin: IO[bytes] | None = None) -> Iterator[Source]:
    """The file's bytes, unpacked from gzip, bzip2, xz, zstd or a zip of one data file.

    Raises BadInputError for a file that is missing, broken, or none of what is read, by its name.
    """
    check_file(path)
    if str(path) == "-":
        with unpacked(stdin or sys.stdin.buffer, "-") as source:
            yield source
        return
    with path.open("rb") as raw:
        size = max(1, path.stat().st_size)
        with unpacked(raw, str(path), path.name.lower()) as source:
            yield source._replace(share=lambda: min(1.0, raw.tell() / size))


@contextmanager
def unpacked(raw: IO[bytes], name: str, filename: str = "") -> Iterator[Source]:
    """As `opened`, of a stream. What fails while the caller reads on is bad input as well."""
    with ExitStack() as stack:
        try:
            suffixes = [part.lower() for part in Path(filename).suffixes]
            file, head = _peeked(raw)
            seekable = raw if raw.seekable() else None
            for _ in range(2):
                unpack = next((f for mark, f in _UNPACKED.items() if head.startswith(mark)), None)
                if unpack is not None:
                    file, head = _peeked(stack.enter_context(unpack(file)))
                    suffixes, seekable = suffixes[:-1], None
                elif head.startswith(b"PK\x03\x04"):
                    inner, member = _only_member(raw, name, stack)
                    (file, head), suffixes = _peeked(inner), Path(member.lower()).suffixes
                    seekable = None
            _refuse(head, name)
            yield Source(name, file, head, (suffixes or [""])[-1], lambda: 0.0, seekable)
        except _broken() as error:
            raise BadInputError(f"is packed and broken: {error}", name) from error
        except OSError as error:
            raise BadInputError(f"cannot be read: {error.strerror or error}", name) from error


def _broken() -> tuple[type[Exception], ...]:
    """What readers of packed files raise; an `except` asks for it only when something was raised."""
    loaded = sys.modules.get("zstandard")
    return _BROKEN if loaded is None else (*_BROKEN, loaded.ZstdError)


def _refuse(head: bytes, name: str) -> None:
    what = next((what for mark, what in _NAMED.items() if head.startswith(mark)), None)
    if what is None and head[257:262] == b"ustar":
        what = "a tar archive"
    if what is not None:
        raise BadInputError(f"looks like {what}; {_INSTEAD}", name)
    if wide := wide_text(head):
        raise BadInputError(wide, name)


def is_inspect_archive(path: Path) -> bool:
    """Whether a file is an archive of Inspect's (`.eval`)."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return _is_inspect(archive.namelist())
    except _broken():
        return False


def _is_inspect(names: list[str]) -> bool:
    return bool({"_journal/start.json", "header.json"} & set(names))


def _only_member(raw: IO[bytes], name: str, stack: ExitStack) -> tuple[IO[bytes], str]:
    if not raw.seekable():
        raise BadInputError("is a zip, which cannot be read from a pipe; unpack it", name)
    archive = stack.enter_context(zipfile.ZipFile(raw))
    names = [one for one in archive.namelist() if not one.startswith("__MACOSX")]
    if "xl/workbook.xml" in names:
        raise BadInputError("looks like an Excel workbook; save it as CSV", name)
    if _is_inspect(names):
        raise BadInputError("looks like an Inspect log; `candor score` reads those", name)
    data = [one for one in names if one.lower().endswith(_DATA)]
    chosen = [one for one in data if Path(one).name == "conversations.json"] or data
    if len(chosen) != 1:
        held = ", ".join(names[:5]) or "nothing"
        raise BadInputError(f"is a zip that holds {held}: unpack it and name one file", name)
    return stack.enter_context(archive.open(chosen[0])), chosen[0]


class _Joined(io.RawIOBase):
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self._head or self._rest.read(len(buffer))
        taken = part[: len(buffer)]
        self._head = part[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)


def _peeked(file: IO[bytes]) -> tuple[IO[bytes], bytes]:
    head = file.read(HEAD)
    return io.BufferedReader(_Joined(head, file), HEAD), head
