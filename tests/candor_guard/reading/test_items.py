"""One set of rows in every shape that files have is one set of objects; the rest is named."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from candor_guard.reading import items_of, read_items, read_objects
from candor_guard.reading.text import MAX_DEPTH, decode_json
from evidence import BadInputError

ROWS: list[dict[str, Any]] = [
    {"id": "a", "text": "Ça va? \u2028 \U0001f642", "lie": "true"},
    {"id": "b", "text": 'two "lines"\nof; text, here', "lie": "0"},
]


def lines(end: str = "\n", rows: list[Any] = ROWS) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode()


def table(mark: str) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(ROWS[0]), delimiter=mark)
    writer.writeheader()
    writer.writerows(ROWS)
    return out.getvalue().encode()


def packed(pack: Callable[[bytes], bytes]) -> bytes:
    """Two members behind each other, as `cat a.gz b.gz` makes."""
    return pack(lines(rows=ROWS[:1])) + pack(lines(rows=ROWS[1:]))


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_", "."), data)
    return out.getvalue()


def parquet() -> bytes:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), out)
    return out.getvalue()


SHAPES: dict[str, Callable[[], bytes]] = {
    "a.jsonl": lines,
    "no_suffix.txt": lines,
    "crlf.jsonl": lambda: lines("\r\n"),
    "cr.jsonl": lambda: lines("\r"),
    "blank.jsonl": lambda: b"\n" + lines("\n\n") + b"   \n",
    "bom.jsonl": lambda: b"\xef\xbb\xbf" + lines(),
    "array.json": lambda: json.dumps(ROWS).encode(),
    "bom.json": lambda: b"\xef\xbb\xbf" + json.dumps(ROWS).encode(),
    "pretty.json": lambda: json.dumps(ROWS, indent=2).encode(),
    "objects.json": lambda: "\n".join(json.dumps(r, indent=1) for r in ROWS).encode(),
    "wrapped.json": lambda: json.dumps({"data": ROWS, "has_more": False}).encode(),
    "wrapped_pretty.json": lambda: json.dumps({"rows": ROWS}, indent=4).encode(),
    "viewer.json": lambda: json.dumps({"rows": [{"row_idx": 0, "row": r} for r in ROWS]}).encode(),
    "a.csv": lambda: table(","),
    "semicolon.csv": lambda: table(";"),
    "a.tsv": lambda: table("\t"),
    "a.jsonl.gz": lambda: packed(gzip.compress),
    "no_suffix": lambda: packed(gzip.compress),
    "a.jsonl.bz2": lambda: packed(bz2.compress),
    "a.jsonl.xz": lambda: packed(lzma.compress),
    "a.jsonl.zst": lambda: packed(zstandard.compress),
    "a.csv.gz": lambda: gzip.compress(table(";")),
    "a.zip": lambda: zipped(a_jsonl=lines()),
    "export.zip": lambda: zipped(conversations_json=json.dumps(ROWS).encode(), user_json=b"{}"),
    "a.parquet": parquet,
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("through", ["file", "pipe", "body"])
def test_the_same_rows_in_every_shape(tmp_path: Path, name: str, through: str) -> None:
    data = SHAPES[name]()
    path = tmp_path / name
    path.write_bytes(data)
    if through == "file":
        found = list(read_items(path))
    elif through == "pipe":
        found = list(read_items(Path("-"), stdin=io.BytesIO(data)))
    else:
        found = list(items_of(data, "body"))
    assert [item.error for item in found] == [None, None]
    assert [item.value for item in found] == ROWS
    name_of = {"file": str(path), "pipe": "-", "body": "body"}[through]
    assert all(item.where.startswith(f"{name_of}:") for item in found)
    assert len({item.name for item in found}) == 2


TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]


@pytest.mark.parametrize(
    ("data", "conversations"),
    [
        (json.dumps(TURNS).encode(), 1),
        (json.dumps(TURNS, indent=1).encode(), 1),
        (lines(rows=[TURNS, TURNS]), 2),
        (json.dumps([TURNS, TURNS]).encode(), 2),
        (json.dumps([TURNS, TURNS], indent=1).encode(), 2),
        (lines(rows=[[{**TURNS[0], "content": "x" * 100_000}, TURNS[1]]] * 3), 3),
    ],
)
def test_a_bare_list_of_turns_is_one_value(data: bytes, conversations: int) -> None:
    found = [item.value for item in items_of(data, "f")]
    assert len(found) == conversations
    assert all([turn["role"] for turn in value] == ["user", "assistant"] for value in found)


def test_rows_that_have_a_list_of_their_own_are_not_taken_apart() -> None:
    rows = [{"id": "a", "messages": [], "data": [{"x": 1}]}, {"conversations": TURNS}]
    assert [item.value for item in items_of(lines(rows=rows), "f")] == rows


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b'{"a": NaN, "b": -Infinity}', None),
        (b'{"a": 1e999}', None),
        (b'{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
        (b'{"a": "half \\ud83d", "b\\udc00": [1]}', {"a": "half \ufffd", "b\ufffd": [1]}),
        (b'{"a": "\\ud83d\\ude42", "b": NaN, "a": "\\ud83d\\ude42"}', None),
        (b'{"a": "\\u2028"}', {"a": "\u2028"}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a": "\\u0000"}', {"a": "\0"}),
    ],
)
@pytest.mark.parametrize("wrap", [b"%s\n", b"[%s]", b"[\n%s\n]"])
def test_what_tools_write_beyond_the_standard(line: bytes, value: Any, wrap: bytes) -> None:
    (item,) = items_of(wrap % line, "f")
    assert item.error is None
    if value is not None:
        assert item.value == value


@pytest.mark.parametrize("wrap", [b"%s\n", b"[%s]"])
def test_depth_has_a_limit_and_the_next_value_is_read(wrap: bytes) -> None:
    def nested(levels: int) -> bytes:
        return b'{"a": ' + b"[" * levels + b"]" * levels + b"}"

    ends = b",\n" if wrap.startswith(b"[") else b"\n"
    at, over, far, last = items_of(
        wrap
        % ends.join([nested(MAX_DEPTH - 1), nested(MAX_DEPTH), nested(MAX_DEPTH * 3), b'{"b": 1}']),
        "f",
    )
    assert at.error is None
    assert over.error == far.error == "not JSON: nested more than 128 levels deep"
    assert last.value == {"b": 1}
    (item,) = items_of(nested(200_000), "f")
    assert item.error == "not JSON: nested more than 128 levels deep"


def test_a_broken_value_names_its_line_and_the_next_is_read() -> None:
    data = b'{"a": 1}\n{broken\n\n{"a": "caf\xe9"}\n"text"\n{"a": 2}\n{"a": '
    found = list(items_of(data, "f"))
    assert [item.where for item in found] == ["f:1", "f:2", "f:4", "f:5", "f:6", "f:7"]
    assert "not JSON" in str(found[1].error)
    assert "byte 0xe9 at column 11, perhaps Latin-1" in str(found[2].error)
    assert found[4].value == {"a": 2}
    assert "not JSON" in str(found[5].error)
    latin = list(items_of(b'[{"a": 1},\n{"a": "caf\xe9"},\n{"a": 2}]', "f"))
    assert [(item.where, item.error is None) for item in latin] == [
        ("f:1", True),
        ("f:2", False),
        ("f:3", True),
    ]


def test_a_first_line_cut_short_does_not_hide_the_others() -> None:
    first, second, third = items_of(b'{"a": \n{"a": 1}\n{"a": 2}\n', "f")
    assert first.error is not None
    assert (second.value, third.value) == ({"a": 1}, {"a": 2})


def test_objects_end_at_the_first_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n[{"role": "user", "content": "x"}]\n')
    found = read_objects(path)
    assert next(found) == (f"{path}:1", {"a": 1})
    with pytest.raises(BadInputError, match=r"a\.jsonl:2: not a JSON object: looks like a bare"):
        next(found)


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("a.jsonl", '{"id": "a"}'.encode("utf-16"), "is UTF-16, not UTF-8"),
        ("a.jsonl", '{"id": "a"}'.encode("utf-16-le"), "is UTF-16, not UTF-8"),
        ("a.csv", "a,b\n1,2".encode("utf-16-be"), "is UTF-16, not UTF-8"),
        ("a.feather", b"ARROW1\0\0", "looks like an Arrow file"),
        ("a.db", b"SQLite format 3\0", "looks like an SQLite database"),
        ("a.pkl", b"\x80\x04\x95", "a pickle, which is never read"),
        ("a.json", b"<!DOCTYPE html>", "an HTML or XML page"),
        ("a.tar", b"a" * 257 + b"ustar", "a tar archive"),
        ("a.tgz", gzip.compress(b"a" * 257 + b"ustar", mtime=0), "a tar archive"),
        ("a.jsonl.lz4", b"\x04\x22\x4d\x18", "packed by lz4"),
        ("a.parquet", b"PAR1 not really", "not a readable Parquet file"),
        ("a.gz", gzip.compress(b'{"a": 1}\n' * 9000, mtime=0)[:-9], "is packed and broken"),
        ("a.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\0nonsense", "broken|cannot be read"),
        ("a.xz", lzma.compress(b"{}" * 99)[:40], "is packed and broken"),
        ("a.bz2", bz2.compress(b"{}" * 99)[:30], "is packed and broken"),
        ("a.zip", b"PK\x03\x04nonsense", "is packed and broken"),
        ("a.zip", zipped(one_json=b"{}", two_json=b"{}"), "holds one.json, two.json"),
        ("a.zip", zipped(readme_txt=b"hi"), "holds readme.txt"),
        ("a.csv", b"a,a\n1,2\n", "two columns are named `a`"),
        ("a.csv", b'a,b\n1,"never closed\n2,3\n', "not CSV"),
        ("a.json", b'[{"a": 1}\n', "does not end"),
        ("a.json", b'[{"a": 1}]\nmore', "behind the JSON array"),
        ("a.json", b'{\n"a": 1,\n"b": \xe9\n}', "not UTF-8 text"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, name: str, data: bytes, what: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(BadInputError, match=what) as caught:
        list(read_items(path))
    assert caught.value.where.startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_folder_and_a_missing_file_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="is a folder"):
        read_items(tmp_path)
    with pytest.raises(BadInputError, match="no such file"):
        read_items(tmp_path / "none.jsonl")


def test_without_pyarrow_parquet_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1....PAR1")
    with pytest.raises(BadInputError, match=r"needs pyarrow: pip install 'candor-monitor\[retrain"):
        list(read_items(path))


def test_cells_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'a;b\n1;\n"x\ny";2\n\n1;2;3\ncaf\xe9;1\n')
    found = list(read_items(path))
    assert [item.where.rsplit(":", 1)[1] for item in found] == ["2", "3", "6", "7"]
    assert [item.value for item in found[:2]] == [{"a": "1"}, {"a": "x\ny", "b": "2"}]
    assert found[2].error == "1 cells more than columns"
    assert "not UTF-8" in str(found[3].error)


def test_long_files_are_read_in_constant_memory(tmp_path: Path) -> None:
    row = {"id": 1, "text": "x" * 2000}
    for name, begin, between, end in (
        ("a.jsonl", "", "\n", "\n"),
        ("a.json", "[", ",\n", "]"),
        ("b.json", "", "\n", ""),
    ):
        text = json.dumps(row, indent=2 if name == "b.json" else None)
        path = tmp_path / name
        path.write_text(begin + between.join([text] * 4000) + end)
        tracemalloc.start()
        found = [item.share for item in read_items(path) if item.value == row]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(found) == 4000
        assert found == sorted(found)
        assert found[-1] == 1.0
        assert peak < 2_000_000 < path.stat().st_size


def test_reading_loads_no_torch() -> None:
    code = (
        "import sys, candor_guard.reading;"
        "print(sorted({'torch', 'kafka', 'sqlalchemy', 'rich', 'typer'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.dictionaries(st.text(), JSON, max_size=5), min_size=1, max_size=5))
def test_any_objects_come_back(rows: list[dict[str, Any]]) -> None:
    rows = [{"id": 0, **row} for row in rows]
    whole = [decode_json(json.dumps(row).encode())[0] for row in rows]
    for data in (
        lines(rows=rows) if all(_encodes(row) for row in rows) else b"",
        json.dumps(rows).encode(),
        json.dumps(rows, indent=1).encode(),
        gzip.compress("\n".join(map(json.dumps, rows)).encode()),
        "\n".join(json.dumps(row, indent=1) for row in rows).encode(),
    ):
        if data:
            assert [item.value for item in items_of(data, "f")] == whole


def _encodes(row: object) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


_TOKENS = st.sampled_from(
    [
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b"\n",
        b"\r",
        b" ",
        b"\\ud83d",
        b"\xef\xbb\xbf",
        b'"role"',
        b'"content"',
        b'"data"',
        b"NaN",
        b"1e999",
        b"\xe9",
        b"\0",
        b"null",
        b"9" * 5000,
        b"PAR1",
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"BZh9",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b";",
    ]
)


@settings(max_examples=400, deadline=None)
@given(data=st.lists(_TOKENS | st.binary(max_size=8), max_size=40).map(b"".join))
def test_no_bytes_end_a_reader_but_with_bad_input(data: bytes) -> None:
    problems: list[str] = []
    for suffix in ("", ".csv", ".jsonl"):
        try:
            for item in items_of(data, "f", f"f{suffix}"):
                assert (item.value is None) or (item.error is None) or isinstance(item.value, dict)
                json.dumps(item.value, default=str, ensure_ascii=False).encode()
        except BadInputError as error:
            problems.append(str(error))
    assert "\n" not in "".join(problems)


@pytest.mark.parametrize(
    ("text", "what"), [("{", "not JSON"), ("[" * 300 + "]" * 300, "nested more than")]
)
def test_json_text_within_parquet_is_read_with_the_same_limits(
    tmp_path: Path, text: str, what: str
) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    storage = pa.array(['{"a": 1}', text], pa.string())
    column = pa.ExtensionArray.from_storage(pa.json_(pa.string()), storage)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"meta": column}), path)
    found = read_items(path)
    assert next(found).value == {"meta": {"a": 1}}
    with pytest.raises(BadInputError, match=what):
        next(found)
