"""Rows of CSV, JSON lines or one JSON array, read one by one in constant memory."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from evidence import BadInputError

_CHUNK = 1 << 16
_LARGEST_ROW = 1 << 26
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


class Row(NamedTuple):
    """One row with the number of its first line and the share of the file read, or why there is none."""

    line: int
    values: dict[str, Any]
    error: str | None = None
    share: float = 0.0


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of a file by its first character and its name, in order.

    A broken row of CSV or JSON lines is reported and the next one read; a JSON array cannot be read on
    behind a broken value, so BadInputError ends it there, after the rows before it.
    """
    with path.open("rb") as file:
        head = file.read(_CHUNK).lstrip(b"\xef\xbb\xbf \t\r\n")
    if path.suffix.lower() in {".csv", ".tsv"}:
        yield from _csv_rows(path)
    elif head.startswith(b"["):
        yield from _array_rows(path)
    else:
        yield from _json_lines(path)


def decoded(line: bytes) -> tuple[Any, str | None]:
    """The value of one line of JSON and None, or nothing and why it is none.

    Beyond the standard, a byte order mark, NaN, infinities and lone surrogates are read, as other
    tools write them.
    """
    try:
        return msgspec.json.decode(line), None
    except RecursionError:
        return None, "not JSON: nested too deeply"
    except (msgspec.DecodeError, UnicodeDecodeError) as strict:
        try:
            return json.loads(line.decode("utf-8-sig")), None
        except RecursionError:
            return None, "not JSON: nested too deeply"
        except ValueError:
            return None, f"not JSON: {strict}"


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(_LARGEST_ROW)
    mark = "\t" if path.suffix.lower() == ".tsv" else ","
    size = max(1, path.stat().st_size)
    with (
        path.open("rb") as raw,
        io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline="") as file,
    ):
        reader = csv.DictReader(file, delimiter=mark)
        begin = 2
        try:
            for values in reader:
                extra = values.pop(None, None)
                problem = f"{len(extra)} cells more than columns" if extra else None
                known = {key: value for key, value in values.items() if value not in {None, ""}}
                if any(_NOT_UTF8.search(value) for value in known.values()):
                    problem = "not UTF-8 text"
                yield Row(begin, known, problem, raw.tell() / size)
                begin = reader.line_num + 1
        except csv.Error as error:
            raise BadInputError(f"not CSV: {error}", f"{path}:{reader.line_num}") from error


def _json_lines(path: Path) -> Iterator[Row]:
    size, read = max(1, path.stat().st_size), 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            read += len(line)
            if line.strip():
                yield _object(line, number)._replace(share=read / size)


def _object(line: bytes, number: int) -> Row:
    values, problem = decoded(line)
    if problem is not None:
        return Row(number, {}, problem)
    if not isinstance(values, dict):
        return Row(number, {}, "not a JSON object")
    return Row(number, values)


def _array_rows(path: Path) -> Iterator[Row]:
    size = max(1, path.stat().st_size)
    with path.open("rb") as raw, io.TextIOWrapper(raw, "utf-8-sig", errors="replace") as file:
        for line, value in _elements(file, str(path)):
            known = isinstance(value, dict)
            problem = None if known else "not a JSON object"
            yield Row(line, value if known else {}, problem, raw.tell() / size)


def _elements(file: IO[str], name: str) -> Iterator[tuple[int, Any]]:
    """Elements of a top-level array with the line each begins on; holds one element at a time."""
    decoder = json.JSONDecoder()
    buffer, line, opened, done = "", 1, False, False
    while True:
        rest = buffer.lstrip(" \t\r\n" if not opened else " \t\r\n,")
        line += buffer.count("\n", 0, len(buffer) - len(rest))
        buffer = rest
        if not opened and buffer.startswith("["):
            opened, buffer = True, buffer[1:]
            continue
        if opened and buffer.startswith("]"):
            if (buffer[1:] + file.read(_CHUNK)).strip():
                raise BadInputError("something stands behind the JSON array", f"{name}:{line}")
            return
        if buffer and (done or len(buffer) >= _CHUNK // 2):
            try:
                value, end = decoder.raw_decode(buffer)
            except RecursionError as error:
                raise BadInputError("not JSON: nested too deeply", f"{name}:{line}") from error
            except ValueError as error:
                if done or len(buffer) > _LARGEST_ROW:
                    raise BadInputError(f"not JSON: {error}", f"{name}:{line}") from error
            else:
                yield line, value
                line += buffer.count("\n", 0, end)
                buffer = buffer[end:]
                continue
        if done:
            raise BadInputError("the JSON array does not end", f"{name}:{line}")
        more = file.read(max(_CHUNK, len(buffer)))
        done = not more
        buffer += more
