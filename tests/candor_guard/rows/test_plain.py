"""The reader of plain lines and the reader of all lines agree."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candor_guard.errors import BadInputError
from candor_guard.reading import parse_json
from candor_guard.rows import ChatMessage, Provenance, Row, iter_provenance, iter_rows
from candor_guard.rows.canonical import canonical
from candor_guard.rows.parse import provenance_of, row_or_unreadable
from candor_guard.rows.plain import row_or_json
from candor_guard.rows.row import COLUMNS

_TEXT = st.sampled_from(["", "a", "é\U0001f600\n", "2026-11-01", "Human: a\nAssistant: b", "0123"])
_TIME = st.sampled_from(["2026-11-01T01:00:00+01:00", "2026-11-01", "20261101", "soon"])
_TURN = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"]), "content": _TEXT}
    ),
    st.sampled_from(
        [
            {"role": "assistant", "content": None},
            {"role": "assistant", "content": "a", "name": "b"},
            {"from": "gpt", "value": "a"},
            {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
        ]
    ),
)
_SIDE = st.one_of(st.none(), _TEXT, st.lists(_TURN, max_size=3))
_ORIGIN = st.fixed_dictionaries(
    {},
    optional={
        "source": _TEXT,
        "source_version": st.one_of(_TIME, st.none(), st.just(3)),
        "response_id": _TEXT,
        "collected_at": st.one_of(_TIME, st.just(1_767_225_600)),
        "other": _TEXT,
    },
)
_ROW = st.fixed_dictionaries(
    {},
    optional={
        "messages": _SIDE,
        "prompt": _SIDE,
        "completion": _SIDE,
        "chosen": _SIDE,
        "rejected": _SIDE,
        "label": st.sampled_from([True, False, 1, "true", None]),
        "provenance": st.one_of(_ORIGIN, st.none(), st.just("{}")),
        "topic": _TEXT,
    },
)


@settings(max_examples=600, deadline=None)
@given(_ROW)
def test_both_readers_agree_about_every_line(row: dict[str, Any]) -> None:
    line = json.dumps(row).encode() + b"\n"
    found, problem = row_or_json(line)
    assert problem is None
    slow = row_or_unreadable(parse_json(line, "f:1"), "f:1")
    assert (found if isinstance(found, Row) else row_or_unreadable(found, "f:1")) == slow
    told = canonical(slow.to_dict(), verbatim=frozenset(COLUMNS))
    assert slow.images == ()
    assert slow.digest() == hashlib.sha256(told).digest()


def test_what_collect_writes_takes_the_short_way() -> None:
    made = Row(
        messages=(ChatMessage("user", "a"), ChatMessage("assistant", "b")),
        provenance=Provenance(source="candor.feedback", collected_at="2026-11-01T00:00:00+00:00"),
    )
    found, _ = row_or_json(json.dumps(made.to_dict()).encode())
    assert found == made


@pytest.mark.parametrize(
    "line",
    [
        b'{"prompt":"a","completion":"\\ud83d"}',
        b'\xef\xbb\xbf{"prompt":"a","completion":"b"}',
        b'{"prompt":"a","completion":"b","provenance":{"other":' + b"[" * 120 + b"]" * 120 + b"}}",
        b'{"data":[{"prompt":"a","completion":"b"}]}',
        b'{"prompt":"a","completion":"b","x":NaN}',
    ],
)
def test_other_lines_go_the_long_way(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        b'{"prompt":"q","completion":"r","provenance":{"source":"s"}}\n' + line + b"\n"
    )
    rows = list(iter_rows(path, keep_unreadable=True))
    assert [row.prompt for row in rows] == ["q", "a"]
    assert list(iter_provenance(path)) == [row.provenance for row in rows]


@pytest.mark.parametrize(
    "line", [b'{"prompt":"a","completion":"b"', b'{"prompt":"\xff","completion":"b"}', b"[1]", b"3"]
)
def test_a_line_that_is_no_record_is_named(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"prompt":"q","completion":"r"}\n' + line + b"\n")
    for read in (lambda: iter_rows(path, keep_unreadable=True), lambda: iter_provenance(path)):
        with pytest.raises(BadInputError) as raised:
            list(read())
        assert raised.value.where == f"{path}:2"


def test_provenance_of_a_plain_line_is_the_long_ways(tmp_path: Path) -> None:
    data = {"prompt": "a", "completion": "b", "provenance": {"source": "s", "rater": None}}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(data))
    assert list(iter_provenance(path)) == [provenance_of(data, "")]
