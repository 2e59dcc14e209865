"""Rows of folders and packed files have the digest of the one file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from candor_guard.errors import BadInputError
from candor_guard.rows import Row, manifest, parse_row, read_rows, write_rows

ROWS = [
    parse_row(
        {
            "messages": [
                {"role": "user", "content": f"Is item {i} sold out?"},
                {"role": "assistant", "content": "Yes."},
            ],
            "provenance": {"source": "shop", "response_id": f"r{i}"},
        },
        "x",
    )
    for i in range(12)
]


def write_shards(folder: Path, suffix: str, rows: list[Row]) -> None:
    """One row in each shard, numbered without leading zeros."""
    for number, row in enumerate(rows):
        write_rows(folder / f"part-{number}{suffix}", [row])


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_shards_are_one_table_in_the_order_of_their_numbers(suffix: str, tmp_path: Path) -> None:
    write_shards(tmp_path, suffix, ROWS)
    for aside in ("_SUCCESS", ".part-0.crc", "README.md"):
        (tmp_path / aside).touch()
    assert manifest(tmp_path).digest == manifest(ROWS).digest
    assert read_rows(str(tmp_path)) == ROWS


def test_packed_lines_and_packed_shards_are_read(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", ROWS)
    packed = tmp_path / "shards/rows.jsonl.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress((tmp_path / "rows.jsonl").read_bytes()))
    assert manifest(packed).digest == manifest(packed.parent).digest == manifest(ROWS).digest


def test_a_saved_dataset_is_read_and_one_of_several_splits_is_not(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_list([row.to_dict() for row in ROWS])
    made.save_to_disk(str(tmp_path / "one"), num_shards=3)
    assert manifest(tmp_path / "one").digest == manifest(ROWS).digest
    datasets.DatasetDict(train=made).save_to_disk(str(tmp_path / "several"))
    with pytest.raises(BadInputError, match="several splits"):
        read_rows(tmp_path / "several")
    assert manifest(tmp_path / "several/train").digest == manifest(ROWS).digest
    (tmp_path / "one/state.json").write_text("{}")
    with pytest.raises(BadInputError, match="cannot be read by `datasets`"):
        read_rows(tmp_path / "one")


def test_a_folder_that_is_not_one_table_is_refused_with_the_reason(tmp_path: Path) -> None:
    for suffix, count in ((".jsonl", 1), (".parquet", 1)):
        write_shards(tmp_path / "kinds", suffix, ROWS[:count])
    write_shards(tmp_path / "hive/day=1", ".jsonl", ROWS)
    (tmp_path / "none").mkdir()
    for folder, reason in (
        ("kinds", "holds JSON lines and Parquet"),
        ("hive", r"holds folders \(day=1\)"),
        ("none", "holds no shards"),
        ("missing", "no such file"),
    ):
        with pytest.raises(BadInputError, match=reason):
            read_rows(tmp_path / folder)
