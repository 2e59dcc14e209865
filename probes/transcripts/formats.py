"""Which format a file is in, and its records."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from evidence import BadInputError
from probes.transcripts.chat import read_chat
from probes.transcripts.deceptionbench import is_deceptionbench, read_deceptionbench
from probes.transcripts.inspect_log import read_inspect
from probes.transcripts.mask import is_mask, read_mask
from probes.transcripts.record import Record
from probes.transcripts.tables import read_rows

Format = Literal["chat", "mask", "deceptionbench", "inspect"]
FORMATS: tuple[Format, ...] = get_args(Format)
_READERS: dict[Format, Callable[[Path], Iterator[Record]]] = {
    "chat": read_chat,
    "mask": read_mask,
    "deceptionbench": read_deceptionbench,
    "inspect": read_inspect,
}
_ROWS_LOOKED_AT = 20
_MARKS = {
    b"\x1f\x8b": "packed by gzip",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"\xfd7zX": "packed by xz",
    b"BZh": "packed by bzip2",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def open_records(path: Path, form: Format | None = None) -> Iterator[Record]:
    """Records of a file, in order and in constant memory; None finds the format (`find_format`).

    Raises BadInputError when the file is missing or cannot be read as what it is.
    """
    if not path.is_file():
        raise BadInputError("no such file", str(path))
    _refuse_packed(path)
    return _READERS[form or find_format(path)](path)


def find_format(path: Path) -> Format:
    """The format of a file by its ending and the columns of its first rows.

    `.eval` is Inspect's. The columns of MASK and DeceptionBench results are looked for in the first
    rows; anything else is chat JSON lines, whose reader says of each line what it lacks.
    Raises BadInputError for a table (CSV) with none of these columns, and for a file that is packed
    or not UTF-8.
    """
    _refuse_packed(path)
    if path.suffix.lower() == ".eval":
        return "inspect"
    if _is_inspect_json(path):
        return "inspect"
    rows = _first_rows(path)
    is_table = path.suffix.lower() in {".csv", ".tsv"}
    if not is_table and any("messages" in row for row in rows):
        return "chat"
    if any(is_mask(row) for row in rows):
        return "mask"
    if any(is_deceptionbench(row) for row in rows):
        return "deceptionbench"
    if is_table:
        raise BadInputError(
            "no known columns: MASK results have `system_prompt`, `user_prompt` and"
            " `generation(System Prompt + User Prompt)_run1`; name another with --format",
            f"{path}:1",
        )
    return "chat"


def _refuse_packed(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(4)
    for mark, what in _MARKS.items():
        if head.startswith(mark):
            raise BadInputError(f"is {what}, not UTF-8 text", str(path))


def _first_rows(path: Path) -> list[dict[str, Any]]:
    """Columns of the first rows, up to one that cannot be read: the format's reader will say so."""
    rows = []
    try:
        for row in itertools.islice(read_rows(path), _ROWS_LOOKED_AT):
            rows.append(row.values)  # noqa: PERF401 -- what was read before an error counts
    except BadInputError:
        return rows
    return rows


def _is_inspect_json(path: Path) -> bool:
    if path.suffix.lower() != ".json":
        return False
    with path.open("rb") as file:
        head = file.read(2000)
    return head.lstrip().startswith(b"{") and b'"eval"' in head and b'"version"' in head
