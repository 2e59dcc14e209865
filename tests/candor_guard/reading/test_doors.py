"""Every command that takes a file is given the same one, and gives the same answer."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from candor_guard.rows.files import iter_rows
from evidence import BadInputError
from monitor.cli.cohorts import read_feedback
from monitor.cli.probe import labelled
from monitor.cli.reading import read_rows
from probes.transcripts import open_transcripts

TURNS = [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "It is."}]
ROW = {
    "messages": TURNS,
    "did_lie": True,
    "stream": "a",
    "score": 0.5,
    "user_id": "u",
    "response_id": "r",
    "value": 1,
    "created_at": "2026-11-29T01:00:00Z",
    "provenance": {"source": "s", "source_version": "1"},
}
"""A row of every command at once."""


def score(path: Path) -> int:
    records = list(open_transcripts(path).records)
    broken = next((record for record in records if record.error is not None), None)
    if broken is not None:
        raise BadInputError(broken.error or "", broken.where)
    return len(records)


DOORS: dict[str, Callable[[Path], int]] = {
    "score": score,
    "probe fit": lambda path: len(labelled(path, "did_lie", "")),
    "detect": lambda path: len(list(read_rows(path))),
    "cohorts": lambda path: len(list(read_feedback(path))),
    "gate": lambda path: len(list(iter_rows(path))),
}


def rows(*extra: dict[str, Any], end: str = "\n") -> bytes:
    return "".join(json.dumps({**ROW, **one}) + end for one in ({}, *extra)).encode()


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def table() -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";")
    writer.writerow(ROW)
    writer.writerow(
        [v if isinstance(v, str | int | float) else json.dumps(v) for v in ROW.values()]
    )
    return out.getvalue().encode()


def parquet() -> bytes:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([ROW, {**ROW, "value": None} | {"value": 1}]), out)
    return out.getvalue()


READ: dict[str, Callable[[], bytes]] = {
    "a.jsonl": rows,
    "bom.jsonl": lambda: b"\xef\xbb\xbf" + rows(),
    "crlf.jsonl": lambda: rows({}, end="\r\n"),
    "cr.jsonl": lambda: rows({}, end="\r"),
    "array.json": lambda: json.dumps([ROW, ROW]).encode(),
    "pretty.json": lambda: json.dumps(ROW, indent=2).encode(),
    "wrapped.json": lambda: json.dumps({"data": [ROW, ROW]}).encode(),
    "a.jsonl.gz": lambda: gzip.compress(rows()) + gzip.compress(rows()),
    "a.jsonl.bz2": lambda: bz2.compress(rows()),
    "a.jsonl.zst": lambda: zstandard.compress(rows()),
    "line_separator.jsonl": lambda: rows({"note": "a\u2028b"}),
    "surrogate.jsonl": lambda: rows({"note": "half \ud83d"}),
    "big.jsonl": lambda: rows({"note": 10**40}),
    "deep.jsonl": lambda: rows({"note": deep(100)}),
    "a.parquet": parquet,
}
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "utf16.jsonl": (lambda: rows().decode().encode("utf-16"), "is UTF-16"),
    "latin1.jsonl": (lambda: rows().replace(b"It is.", b"It \xeds."), "not UTF-8 text: byte 0xed"),
    "broken.jsonl": (lambda: rows() + b'{"a": ', ":2: not JSON"),
    "deep.jsonl": (lambda: rows({"note": deep(200)}), ":2: not JSON: nested more than"),
    "deeper.jsonl": (lambda: rows() + b"[" * 100_000, ":2: not JSON: nested more than"),
    "number.jsonl": (lambda: rows() + b"5\n", ":2: not a JSON object"),
    "cut.json": (lambda: json.dumps([ROW, ROW]).encode()[:-3], "not JSON"),
    "cut.jsonl.gz": (lambda: gzip.compress(rows() * 99)[:-9], "is packed and broken"),
    "a.db": (lambda: b"SQLite format 3\0", "looks like an SQLite database"),
    "a.pkl": (lambda: b"\x80\x04\x95", "looks like a pickle"),
    "broken.parquet": (lambda: b"PAR1 and nothing", "not a readable Parquet file"),
}


@pytest.mark.parametrize("name", READ)
def test_what_one_command_reads_all_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(READ[name]())
    answers = {door: read(path) for door, read in DOORS.items()}
    assert set(answers.values()) in ({1}, {2}), answers


@pytest.mark.parametrize("name", REFUSED)
def test_what_one_command_refuses_all_refuse_in_the_same_words(tmp_path: Path, name: str) -> None:
    make, what = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(make())
    said = {}
    for door, read in DOORS.items():
        if door == "probe fit" and what.startswith((":2", "not UTF-8")):
            continue  # it names a line on stderr and goes on
        with pytest.raises(BadInputError) as caught:
            read(path)
        said[door] = str(caught.value)
    assert len(set(said.values())) == 1, said
    assert what in said["gate"]


def test_a_table_is_read_where_its_cells_can_be_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(table())
    answers = {door: DOORS[door](path) for door in ("score", "probe fit", "detect", "cohorts")}
    assert set(answers.values()) == {1}, answers
