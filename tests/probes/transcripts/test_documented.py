"""docs/formats.md holds its word: each example of it is read, or refused, as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from candor_guard.reading import items_of
from candor_guard.reading.text import MAX_DEPTH
from probes.transcripts.chat import chat_record

PAGE = (Path(__file__).parents[3] / "docs/formats.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|`]+) \| `([{\[].*)` \| ([^|]+) \|$", PAGE, re.MULTILINE)
TURNS = re.compile(r"(system|user|assistant|tool)(, (system|user|assistant|tool))*")
SAYS = {"system": "S", "user": "Q", "tool": "0", "assistant": "A"}


@pytest.mark.parametrize(("shape", "example", "said"), ROWS, ids=[row[0] for row in ROWS])
def test_an_example_is_read_as_the_page_says(shape: str, example: str, said: str) -> None:
    (item,) = items_of(example.encode(), "f")
    record = chat_record(item)
    if not TURNS.fullmatch(said):
        assert record.transcript is None
        assert said in (record.error or "")
        return
    assert record.transcript is not None, record.error
    turns = record.transcript.messages
    assert [turn.role for turn in turns] == said.split(", ")
    assert turns[-1].content == "A"
    for turn in turns[:-1]:
        expected = SAYS[turn.role] if turn.role != "assistant" else "[called stock with {}]"
        assert turn.content == expected


def test_the_page_has_all_its_examples() -> None:
    assert len(ROWS) == len(re.findall(r"^\|.*\| `[{\[]", PAGE, re.MULTILINE)) > 30
    assert f"more than {MAX_DEPTH} levels" in PAGE
