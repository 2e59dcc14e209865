from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor_guard.rows import Row, RowKind, iter_rows, manifest, parse_row, read_rows, write_rows
from evidence import BadInputError

SFT: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}],
    "provenance": {"source": "s", "source_version": "1", "response_id": "r"},
}
KTO: dict[str, Any] = {
    "prompt": "Q",
    "completion": "A",
    "label": False,
    "provenance": {"source": "s"},
}
DPO: dict[str, Any] = {
    "prompt": [{"role": "user", "content": "Q"}],
    "chosen": [{"role": "assistant", "content": "A"}],
    "rejected": [{"role": "assistant", "content": "B"}],
    "provenance": {"source": "s"},
}


@pytest.mark.parametrize(
    ("data", "kind"), [(SFT, RowKind.SFT), (KTO, RowKind.KTO), (DPO, RowKind.DPO)]
)
def test_a_row_survives_both_formats_with_the_same_digest(
    tmp_path: Path, data: dict[str, Any], kind: RowKind
) -> None:
    row = parse_row({**data, "weight": 0.5}, "x:1")
    assert row.kind is kind
    assert row.response_text() == "A"
    assert row.prompt_messages()[0].content == "Q"
    expected = manifest([row])
    for name in ("rows.jsonl", "rows.parquet"):
        assert write_rows(tmp_path / name, [row]) == 1
        assert read_rows(tmp_path / name) == [row]
        assert manifest(iter_rows(tmp_path / name)) == expected
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["rows.jsonl", "rows.parquet"]


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A."}]},
        {"provenance": {**SFT["provenance"], "source_version": "2"}},
        {"extra_column": 1},
    ],
)
def test_any_change_changes_the_digest(change: dict[str, Any]) -> None:
    before = manifest([parse_row(SFT, "x")])
    assert manifest([parse_row({**SFT, **change}, "x")]).digest != before.digest


@given(st.permutations(range(5)))
def test_manifest_depends_on_order(order: list[int]) -> None:
    rows = [parse_row({"prompt": str(i), "completion": "A"}, "x") for i in range(5)]
    same = manifest([rows[i] for i in order]).digest == manifest(rows).digest
    assert same == (order == list(range(5)))


def test_manifest_counts_kinds_and_sources() -> None:
    made = manifest(
        [
            parse_row(SFT, "x"),
            parse_row(KTO, "x"),
            parse_row({"prompt": "a", "completion": "b"}, "x"),
        ]
    )
    assert made.rows == 3
    assert made.kinds == {"kto": 1, "sft": 2}
    assert made.sources == {"s": 1, "s@1": 1, "unknown": 1}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{not json", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"messages": "x"}', "`messages` is a list of messages"),
        ('{"messages": []}', "must end with the assistant"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "must end with the assistant"),
        ('{"messages": [{"content": "x"}]}', "an object with a `role`"),
        ('{"messages": [{"role": "assistant", "content": 3}]}', "a text or a list of parts"),
        ('{"prompt": "x"}', "a row has `messages`"),
        ('{"chosen": "x"}', "a pair has"),
        ('{"prompt": "x", "completion": "y", "label": "yes"}', "`label` is true or false"),
        ('{"prompt": "x", "completion": "y", "provenance": 3}', "Expected `object`"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, what: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(SFT) + "\n\n" + line + "\n")
    with pytest.raises(BadInputError) as error:
        read_rows(path)
    assert error.value.where == f"{path}:3"
    assert what in error.value.what


def test_bad_files_are_named(tmp_path: Path) -> None:
    for name, data in (
        ("a.parquet", b"PAR1 no"),
        ("b.csv", b"prompt\nQ\n"),
        ("c.jsonl", b"\xff\xfe{}\n"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInputError):
            read_rows(tmp_path / name)
    with pytest.raises(BadInputError, match="no such file"):
        read_rows(tmp_path / "none.jsonl")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, [parse_row(SFT, "x")])
    before = path.read_bytes()

    def broken() -> Any:
        yield parse_row(KTO, "x")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        write_rows(path, broken())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_thumbs_down_does_not_endorse() -> None:
    assert not parse_row(KTO, "x").endorses
    assert Row(prompt="a", completion="b", label=True).endorses
