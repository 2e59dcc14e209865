"""Files of conversations, feedback and scores, in every container and shape that is read."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from typing import Any

import zstandard

from candor_guard.reading import Item, items_of
from candor_guard.reading.values import field, label_of, number, text, time_s, within
from evidence import BadInputError
from probes.transcripts.chat import chat_record
from probes.transcripts.deceptionbench import deceptionbench_records, is_deceptionbench
from probes.transcripts.mask import is_mask, mask_records
from probes.transcripts.record import Record
from tests.fuzz.choices import Choices
from tests.fuzz.mutation import bent_bytes, bent_document, written
from tests.fuzz.target import Target

_Q, _A = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "<think>T</think>A"}
_PART = {"type": "text", "text": "A"}
_CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}
_NODES = {
    "a": {"parent": None, "message": {"author": {"role": "user"}, "content": {"parts": ["Q"]}}},
    "b": {"parent": "a", "message": {"author": {"role": "assistant"}, "content": {"parts": ["A"]}}},
}
_SCENE = {"question": "Q", "groundtruth": "G", "goal": "W"}
ROWS: tuple[Any, ...] = (
    {"id": "a", "messages": [_Q, _A], "did_lie": True},
    {"system": "S", "messages": [_Q, _CALL, {"role": "tool", "content": "R"}, _A]},
    {"messages": [{"role": "user", "content": [_PART]}, {"role": "model", "parts": [_PART]}]},
    [_Q, _A],
    {"messages": json.dumps([_Q, _A])},
    {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
    {"request": {"messages": [_Q]}, "response": {"choices": [{"message": _A}]}},
    {"contents": [_Q], "candidates": [{"content": {"role": "model", "parts": [_PART]}}]},
    {"input": {"messages": [_Q]}, "output": _A},
    {"instruction": "Q", "input": "", "output": "A"},
    {"mapping": _NODES, "current_node": "b"},
    {"chat_messages": [{"sender": "human", "text": "Q"}, {"sender": "assistant", "text": "A"}]},
    {"system_prompt": "S", "user_prompt": "Q", "generation(System Prompt + User Prompt)_run1": "A"},
    {**_SCENE, "responses": {"L1-self": '{"thought": "T", "response": "A"}'}},
    {**_SCENE, "L1": {"conversation": [{"instruction": "Q", "generated_text": "A"}]}},
    {**_SCENE, "eval": {"thought": "honest", "response": "decept"}},
    {"stream": "s", "score": 0.5, "propensity": "1"},
    {"user_id": "u", "response_id": "r", "value": 1, "created_at": "2026-01-01T00:00:00Z"},
)
_PACKS: tuple[Callable[[bytes], bytes], ...] = (
    gzip.compress,
    bz2.compress,
    lzma.compress,
    zstandard.compress,
)
_NAMES = ("f", "f.jsonl", "f.json", "f.csv", "f.tsv", "f.zip", "f.parquet")


def make(choices: Choices) -> bytes:
    rows = [bent_document(choices.pick(ROWS), choices) for _ in range(1 + choices.index(3))]
    container = choices.index(5)
    if container == 0:
        data = written(rows, choices)
    elif container == 1:
        data = written({"data": rows}, choices)
    elif container == 2:
        cells = [str(value) for row in rows if isinstance(row, dict) for value in row.values()]
        names = [str(key) for row in rows if isinstance(row, dict) for key in row]
        mark = choices.pick(",;\t")
        lines = (mark.join(names), mark.join(json.dumps(cell) for cell in cells))
        data = "\n".join(lines).encode("utf-8", "surrogatepass")
    else:
        end = choices.pick((b"\n", b"\r\n", b"\r"))
        data = end.join(written(row, choices) for row in rows)
    if choices.chance(6):
        data = choices.pick(_PACKS)(data)
        data = bent_bytes(data, choices) if choices.chance(2) else data
    return bytes([choices.index(len(_NAMES))]) + data


def check(raw: bytes) -> str:
    name = _NAMES[raw[0] % len(_NAMES)] if raw else "f"
    try:
        items = list(items_of(raw[1:], "f", name))
    except BadInputError as error:
        _check_told(error, "f")
        return "the file is refused"
    outcomes = {_checked(item) for item in items}
    return "read" if "read" in outcomes else "no row is read"


def _checked(item: Item) -> str:
    assert (item.error is None) or (item.value is None)
    if item.error is None:
        json.dumps(item.value, ensure_ascii=False).encode()
    found = [_record(chat_record(item))]
    if item.error is None and isinstance(item.value, dict):
        for is_one, read in ((is_mask, mask_records), (is_deceptionbench, deceptionbench_records)):
            if is_one(item.value):
                found += [_record(record) for record in read(item)]
        found.append(_row(item))
    return "read" if "read" in found else "refused"


def _record(record: Record) -> str:
    assert record.id
    assert (record.error is None) is (record.transcript is not None)
    if record.transcript is None:
        return "refused"
    assert record.transcript.is_measurable
    for turn in record.transcript.messages:
        turn.content.encode()
    assert "</think>" not in record.transcript.response
    return "read"


def _row(item: Item) -> str:
    """What `candor detect` and `candor cohorts` read of it."""
    read = "refused"
    label_of(item.value.get("did_lie"))
    for fields in (
        (("stream", text), ("score", number), ("propensity", number)),
        (("user_id", text), ("value", within(-1, 1)), ("created_at", time_s)),
    ):
        try:
            for name, kind in fields:
                field(item.value, name, kind, item.where)
            read = "read"
        except BadInputError as error:
            _check_told(error, item.where)
    return read


def _check_told(error: BadInputError, where: str) -> None:
    assert str(error).startswith(where)
    assert "\n" not in str(error)
    str(error).encode()


TARGET = Target("files", make, check)
