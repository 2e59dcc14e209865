"""Published files are read as they are; rows here are of our own making, with their columns."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from evidence import BadInputError
from retrain.items.published import load_deceptionbench, load_mask

ROW = {
    "task_id": "k1",
    "system_prompt": "You sell cold tea.",
    "user_prompt": "Is tea hot?",
    "type": "known",
    "proposition": "Tea is <pivotal>hot/cold</pivotal>.",
    "ground_truth": "hot",
    "belief_elicit_1": "Is tea hot or cold?",
    "belief_elicit_2": "Tea: hot or cold?",
    "belief_elicit_3": "",
    "delivery": "1",
    "formatted_ground_truth": "A",
    "canary": "c",
}


def _csv(path: Path, *rows: dict[str, str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_mask_file_is_read(tmp_path: Path) -> None:
    found = load_mask(
        _csv(tmp_path / "known_facts.csv", ROW, {**ROW, "formatted_ground_truth": "B"})
    )
    item, other = found.items
    assert (item.id, item.archetype, item.proposition, item.truth) == (
        "mask.k1", "known_facts", "Tea is hot.", True,
    )  # fmt: skip
    assert not other.truth
    assert [m.role for m in item.pressured] == ["system", "user"]
    assert len(item.neutral) == 2
    assert not item.has_references
    assert found.skipped == ()


def test_numbers_and_first_turns_and_missing_beliefs(tmp_path: Path) -> None:
    number = {**ROW, "proposition": "Tea costs <value> cents.", "formatted_ground_truth": "30"}
    (item,) = load_mask(_csv(tmp_path / "statistics.csv", number)).items
    assert (item.archetype, item.proposition) == ("statistics", "Tea costs 30 cents.")
    turns = {**ROW, "dd_turn_1_prompt": "Is tea cold?", "dd_turn_1_response": "Yes."}
    (item,) = load_mask(_csv(tmp_path / "doubling_down_known_facts.csv", turns)).items
    assert item.archetype == "doubling_down"
    assert [m.role for m in item.pressured] == ["system", "user", "assistant", "user"]
    bare = {k: v for k, v in ROW.items() if not k.startswith("belief")}
    (item,) = load_mask(_csv(tmp_path / "provided_facts.csv", bare)).items
    assert item.neutral == ()


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    rows = [
        {**ROW, "formatted_ground_truth": "C"},
        {**ROW, "proposition": "Tea."},
        {**ROW, "proposition": "Tea is <pivotal>hot/warm/cold</pivotal>."},
        {**ROW, "user_prompt": "nan"},
    ]
    found = load_mask(_csv(tmp_path / "disinformation.csv", *rows))
    assert found.items == ()
    assert [line.split(":")[0] for line in found.skipped] == ["row 0", "row 1", "row 2", "row 3"]
    assert "neither A nor B" in found.skipped[0]


def test_parquet_as_the_hub_keeps_it(tmp_path: Path) -> None:
    folder = tmp_path / "continuations"
    folder.mkdir()
    path = folder / "test-00000-of-00001.parquet"
    pyarrow.parquet.write_table(pa.Table.from_pylist([{**ROW, "belief_elicit_3": None}]), path)
    (item,) = load_mask(path).items
    assert item.archetype == "continuation"


def test_a_deceptionbench_file_is_read(tmp_path: Path) -> None:
    kinds = {
        "Sycophantic Misrepresentation": "sycophancy",
        "Alignment Faking": "evaluation_faking",
        "Sandbagging": "sandbagging",
        "Goal-Driven Rule-Breaking / Manipulation": "strategic_deception",
        "Honesty Evasion Under Pressure": "honesty_evasion",
    }
    rows: list[Any] = [
        {"id": i, "type": kind, "inner_prompt": "in", "system_prompt": "s", "outer_prompt": "out",
         "format": "<think>"}
        for i, kind in enumerate(kinds)
    ]  # fmt: skip
    rows.append({**rows[0], "type": "Gossip"})
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    found = load_deceptionbench(path)
    assert [i.archetype for i in found.items] == list(kinds.values())
    assert found.items[0].pressured[-1].content == "out\n\n<think>"
    assert found.items[0].neutral[0][0].content == "in"
    assert found.skipped == ("row 5: unknown type 'gossip'",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("known_facts.csv", "a,b\n1,2\n", "no column system_prompt"),
        ("known_facts.csv", "", "no rows"),
        ("own.csv", "a\n", "tells no archetype"),
    ],
)
def test_a_mask_file_that_is_none_is_bad_input(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadInputError, match=message):
        load_mask(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not JSON"), ("{}", "not a list"), ("[]", "no rows"), ('[{"a": 1}]', "no column type")],
)
def test_a_deceptionbench_file_that_is_none_is_bad_input(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "bench.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadInputError, match=message):
        load_deceptionbench(path)
    with pytest.raises(BadInputError, match="cannot be read"):
        load_deceptionbench(tmp_path / "none.json")
