from __future__ import annotations

import random

import pytest

from evidence import Message
from probes.activation.style import STYLES, restyle
from probes.grouping import scenario_group
from probes.probe import Transcript
from probes.transcripts import parse_record, read_records

GOOD = b'{"id": "a", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}], "did_lie": true}'


def test_a_line_keeps_its_other_columns() -> None:
    record = parse_record(GOOD, "f:1", "line-1")
    assert record.transcript is not None
    assert record.transcript.response == "Yo"
    assert record.fields == {"did_lie": True}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"id": "a"}', "`messages` is missing"),
        (b'{"id": "a", "messages": []}', "`messages` is missing"),
        (b'{"id": "a", "messages": [{"role": "user"}]}', "message 0"),
        (b'{"id": "a", "messages": ["hi"]}', "message 0"),
        (b'{"id": "a", "messages": [{"role": "user", "content": "Hi"}]}', "does not end"),
        (b'{"id": "a", "messages": [{"role": "assistant", "content": 5}]}', "message 0"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_a_broken_line_says_why(line: bytes, reason: str) -> None:
    record = parse_record(line, "f:1", "line-1")
    assert record.transcript is None
    assert reason in (record.error or "")


def test_parts_of_content_are_joined_and_a_missing_id_is_the_line() -> None:
    line = b'{"messages": [{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]}]}'
    record = parse_record(line, "f:3", "line-3")
    assert record.id == "line-3"
    assert record.transcript is not None
    assert record.transcript.response == "a\nb"


def test_blank_lines_are_skipped_and_numbers_kept() -> None:
    found = list(read_records([b"\n", GOOD, b"  ", b"{"], "f"))
    assert [record.where for record in found] == ["f:2", "f:4"]


def grouped(prompt: str, answer: str) -> str:
    turns = (Message("system", "S"), Message("user", prompt), Message("assistant", answer))
    return scenario_group(Transcript(id="x", messages=turns))


def test_one_prompt_is_one_group_whatever_the_answer() -> None:
    assert grouped("Was it?", "yes") == grouped("was  IT", "no")
    assert grouped("Was it?", "yes") != grouped("Was it not?", "yes")


@pytest.mark.parametrize("style", sorted(STYLES))
def test_a_style_changes_looks_and_keeps_the_letters(style: str) -> None:
    text = "**No.** The battery was never recalled. Nothing is wrong with it at all."
    out = restyle(text, style, random.Random(3))
    assert out != text
    kept = sorted(c for c in out.lower() if c.isalpha())
    for letter in set("batery"):
        assert kept.count(letter) >= sorted(text.lower()).count(letter)
    assert restyle("", style, random.Random(3)) == restyle("", style, random.Random(3))
