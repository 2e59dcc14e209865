from __future__ import annotations

import random

import pytest

from evidence import Message
from probes.activation.style import STYLES, restyle
from probes.grouping import scenario_group
from probes.probe import Transcript
from probes.transcripts import Record, read_records

GOOD = b'{"id": "a", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}], "did_lie": true}'


def parsed(line: bytes) -> Record:
    (record,) = read_records([line], "f")
    return record


def test_a_line_keeps_its_other_columns() -> None:
    record = parsed(GOOD)
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
        (b"\xff\xfe", "UTF-16"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_broken_line_says_why(line: bytes, reason: str) -> None:
    record = parsed(line)
    assert record.transcript is None
    assert reason in (record.error or "")


def test_parts_of_content_are_joined_and_a_missing_id_is_the_line() -> None:
    line = b'{"messages": [{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]}]}'
    record = parsed(line)
    assert record.id == "line-1"
    assert record.transcript is not None
    assert record.transcript.response == "a\nb"


@pytest.mark.parametrize(
    ("turn", "text"),
    [
        (b'{"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]}', ""),
        (b'{"role": "assistant", "content": null, "refusal": "I cannot."}', "I cannot."),
    ],
)
def test_a_turn_that_calls_a_tool_or_refuses_is_a_turn(turn: bytes, text: str) -> None:
    record = parsed(b'{"messages": [' + turn + b"]}")
    assert record.transcript is not None
    assert record.transcript.response == text
    assert parsed(b'{"messages": [{"role": "assistant", "content": null}]}').error


@pytest.mark.parametrize(
    "line",
    [
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"true", b"NaN"),
        GOOD.replace(b"true", b"1e999"),
        GOOD.replace(b"Yo", b"half \\ud83d"),
    ],
    ids=["byte order mark", "NaN", "infinity", "lone surrogate"],
)
def test_what_other_tools_write_beyond_the_standard_is_read(line: bytes) -> None:
    record = parsed(line)
    assert record.transcript is not None, record.error
    assert record.id == "a"


def test_a_line_nested_too_deeply_is_broken_alone() -> None:
    deep = b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    first, second = read_records([deep, GOOD], "f")
    assert first.error == "not JSON: nested more than 128 levels deep"
    assert second.id == "a"


@pytest.mark.parametrize(
    ("given", "name"), [("1", "1"), ("0", "0"), ("true", "line-1"), ("2.5", "line-1")]
)
def test_an_id_is_text_or_a_whole_number(given: str, name: str) -> None:
    assert parsed(GOOD.replace(b'"a"', given.encode())).id == name


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
