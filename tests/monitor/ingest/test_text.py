"""The one function that reads JSON: what it takes, and that nothing makes it raise anything else."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor_guard.reading.text import MAX_DEPTH, clean
from monitor.ingest.records import DeadLetterReason, Refused
from monitor.ingest.text import clean_all, parse_json, parse_value, split_json


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": "caf\xe9"}',
        b'{"caf\xe9": 1}',
        b'"\xed\xa0\xbd"',
        b"\xff\xfe{\x00}\x00",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": -1e999, "b": "\\ud800"}',
        b'{"a": ' + b"9" * 5_000 + b"}",
        nested(MAX_DEPTH + 1),
        nested(700),
        nested(100_000),
        b'{"a": "\\ud800", "b": ' + nested(MAX_DEPTH) + b"}",
        b'{"a": 01}',
        b'{"a": "\n"}',
        b"{",
        b"",
    ],
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse_value(raw)
    assert refused.value.letter.reason is DeadLetterReason.NOT_JSON


def test_depth_is_counted_in_arrays_and_objects_but_not_in_texts() -> None:
    assert parse_value(nested(MAX_DEPTH)) is not None
    assert parse_value(json.dumps("[" * 1_000).encode()) == "[" * 1_000
    flat = [[] for _ in range(1_000)]
    assert parse_value(json.dumps(flat).encode()) == flat


def test_a_byte_order_mark_and_large_numbers_are_taken() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 9999999999999999999999999}') == {"a": 10**25 - 1}


def test_half_an_emoji_becomes_what_ids_refuse_and_texts_repair() -> None:
    found = parse_json(b'{"a\\ud83d": ["cut \\ud83d", "\\ud83d\\ude00"]}')
    assert found == {"a\x00": ["cut \x00", "\U0001f600"]}
    assert clean_all(found) == {"a\ufffd": ["cut \ufffd", "\U0001f600"]}
    assert clean("a\x00b") == "a\ufffdb"


def test_a_list_is_split_into_items_that_parse_alone() -> None:
    assert split_json(b' {"a": 1} ') == [b'{"a": 1}']
    assert split_json(b"\xef\xbb\xbf [1, [2]]\n") == [b"1", b"[2]"]
    assert split_json(b" \n") == []
    assert [parse_value(item) for item in split_json(b'["\\ud83d", {"a": 1}]')] == [
        "\x00",
        {"a": 1},
    ]
    for broken in (b"[1,", b"[1] 2", b'["\\ud83d", NaN]', nested(100_000)):
        with pytest.raises(Refused):
            split_json(broken)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None, categories=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(_JSON)
def test_every_json_value_is_read_as_the_standard_parser_reads_it(value: Any) -> None:
    text = json.dumps(value)
    found = parse_value(text.encode())
    json.dumps(found, ensure_ascii=False).encode("utf-8")
    assert clean_all(found) == clean_all(json.loads(text))


@given(st.binary(max_size=100))
def test_no_bytes_raise_anything_but_a_refusal(raw: bytes) -> None:
    for read in (parse_value, split_json):
        with suppress(Refused):
            read(raw)
