"""Conversations in the shapes of vendors, data sets and exports."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from candor_guard.reading import items_of
from evidence import BadInputError
from probes.transcripts import Record, open_records, open_transcripts
from probes.transcripts.chat import chat_record
from probes.transcripts.turns import BadTurnError, parse_turns

Q = {"role": "user", "content": "Q"}
A = {"role": "assistant", "content": "A"}


def read(data: Any) -> Record:
    (item,) = items_of(json.dumps(data).encode(), "f")
    return chat_record(item)


def said(record: Record) -> list[tuple[str, str]]:
    assert record.transcript is not None, record.error
    return [(turn.role, turn.content) for turn in record.transcript.messages]


@pytest.mark.parametrize(
    "answer",
    [
        {"role": "assistant", "content": "<think>T</think>A"},
        {"role": "assistant", "content": "T</think>A"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "T"}, {"text": "A"}]},
        {"role": "assistant", "content": [{"type": "reasoning", "text": "T"}, "A"]},
        {"role": "assistant", "content": "A", "reasoning_content": "T"},
        {"role": "assistant", "content": "A", "reasoning": "T"},
        {"role": "assistant", "content": "A", "thinking": "T"},
        {"role": "assistant", "thought": "T", "content": "A"},
        {"role": "model", "parts": [{"text": "T", "thought": True}, {"text": "A"}]},
        {
            "role": "assistant",
            "content": "<|channel|>analysis<|message|>T<|end|><|start|>assistant"
            "<|channel|>final<|message|>A<|return|>",
        },
    ],
)
def test_reasoning_is_kept_apart_from_the_answer(answer: dict[str, Any]) -> None:
    record = read({"messages": [Q, answer]})
    assert said(record) == [("user", "Q"), ("assistant", "A")]
    assert record.fields["reasoning"].strip() == "T"


@pytest.mark.parametrize(
    "before",
    [
        {"role": "assistant", "channel": "analysis", "content": "T"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "T"}]},
    ],
)
def test_reasoning_as_a_turn_of_its_own_is_no_turn(before: dict[str, Any]) -> None:
    record = read({"messages": [Q, before, A]})
    assert said(record) == [("user", "Q"), ("assistant", "A")]
    assert record.fields["reasoning"] == "T"
    assert read({"messages": [Q, before]}).error == "the last turn is reasoning without an answer"


@pytest.mark.parametrize(
    "answer",
    [
        {"role": "assistant", "content": "<think>It has none, so"},
        {"role": "assistant", "content": "<think>It has none.</think>\n"},
        {"role": "assistant", "content": None, "reasoning_content": "It has none."},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "It has none."}]},
        {"role": "assistant", "content": "<|channel|>analysis<|message|>It has none."},
    ],
)
def test_reasoning_without_an_answer_is_an_error(answer: dict[str, Any]) -> None:
    record = read({"messages": [Q, answer]})
    assert record.transcript is None
    assert record.error == "the last turn is reasoning without an answer"


def test_a_tag_that_is_only_talked_about_stays() -> None:
    text = "Models write `<think>` before they answer."
    assert said(read({"messages": [Q, {"role": "assistant", "content": text}]}))[-1][1] == text


def test_what_has_no_text_is_named() -> None:
    picture = {"type": "image_url", "image_url": {"url": "x"}}
    sound = {"type": "input_audio", "input_audio": {}}
    call = {"function": {"name": "look", "arguments": '{"a": 1}'}}
    turns = [
        {"role": "user", "content": [picture, {"type": "text", "text": "Q"}, sound]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": [{"type": "text", "text": "R"}]},
        {"role": "assistant", "content": "A", "tool_calls": [call]},
    ]
    record = read({"messages": turns})
    assert said(record) == [
        ("user", "Q"),
        ("assistant", '[called look with {"a": 1}]'),
        ("tool", "R"),
        ("assistant", "A"),
    ]
    assert record.unread == ("image_url", "input_audio", "tool call")


def test_results_of_tools_stand_before_what_the_user_says() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "R"}]}
    record = read(
        {"messages": [Q, {"role": "user", "content": [result, {"type": "text", "text": "U"}]}, A]}
    )
    assert said(record)[1:3] == [("tool", "R"), ("user", "U")]


@pytest.mark.parametrize(
    "system", ["S", ["S"], [{"type": "text", "text": "S"}], {"parts": [{"text": "S"}]}]
)
def test_a_system_prompt_at_the_top_is_told(system: Any) -> None:
    record = read({"system": system, "messages": [Q, A], "did_lie": True})
    assert said(record)[0] == ("system", "S")
    assert record.fields == {"did_lie": True}
    own = read({"system": system, "messages": [{"role": "system", "content": "Own"}, Q, A]})
    assert said(own)[0] == ("system", "Own")


def test_a_chatgpt_export_is_read_along_the_branch_shown_last() -> None:
    def node(parent: str | None, role: str, parts: list[Any], at: float = 0.0, **more: Any) -> Any:
        content = {"content_type": "text", "parts": parts}
        message = {"author": {"role": role}, "content": content, "create_time": at, **more}
        return {"parent": parent, "message": message}

    hidden = {"metadata": {"is_visually_hidden_from_conversation": True}}
    mapping = {
        "root": {"parent": None, "message": None},
        "s": node("root", "system", [""]),
        "h": node("s", "user", ["secret"], **hidden),
        "u": node("h", "user", ["Q", {"content_type": "image_asset_pointer"}]),
        "old": node("u", "assistant", ["Old"], 1.0),
        "new": node("u", "assistant", ["A"], 2.0),
    }
    for given in ({"mapping": mapping}, {"mapping": mapping, "current_node": "new"}):
        record = read({"id": "c", "title": "t", **given})
        assert said(record) == [("user", "Q"), ("assistant", "A")]
        assert record.unread == ("image_asset_pointer",)
    assert said(read({"mapping": mapping, "current_node": "old"}))[-1] == ("assistant", "Old")
    looped = {"a": node("b", "user", ["Q"]), "b": node("a", "assistant", ["A"])}
    assert len(said(read({"mapping": looped, "current_node": "b"}))) == 2


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ({"messages": [Q]}, "does not end with the assistant but with `user`"),
        ({"messages": [Q, {"role": "narrator", "content": "x"}]}, "but with `narrator`"),
        ({"messages": [Q, {"role": "assistant", "content": None}]}, "message 1 has no"),
        ({"messages": [Q, 5]}, "message 1 has no"),
        ({"mapping": {}}, "does not end"),
        ({"alpha": 1, "beta": 2}, "has `alpha`, `beta`"),
        ({"input": {"a": 1}, "output": {"b": 2}}, "looks like a Langfuse observation"),
    ],
)
def test_what_is_no_conversation_says_why(data: Any, what: str) -> None:
    record = read(data)
    assert record.transcript is None
    assert what in (record.error or "")


def test_a_file_of_unknown_rows_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    row = {"object": "chat.completion.chunk", "choices": [{"delta": {}}]}
    path.write_text((json.dumps(row) + "\n") * 30)
    with pytest.raises(BadInputError, match=r"a\.jsonl:1: no known columns: looks like chunks"):
        open_transcripts(path)


def test_a_table_may_hold_its_messages_as_json(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["id", "messages", "did_lie"], ["1", json.dumps([Q, A]), "true"]]
        )
    (record,) = open_records(path)
    assert said(record) == [("user", "Q"), ("assistant", "A")]
    assert (record.id, record.fields) == ("1", {"did_lie": "true"})


JUNK = [None, 5, "x", [], {}, [None], [[]], [{}], {"role": 1}, {"type": "reasoning"}, {"text": {}}]


@pytest.mark.parametrize(
    "key", ["content", "role", "parts", "tool_calls", "value", "reasoning", "x"]
)
def test_no_turn_of_any_shape_raises_but_as_a_bad_turn(key: str) -> None:
    for junk in JUNK:
        for turn in (junk, {**A, key: junk}, {key: junk}, {"role": "user", "content": [junk]}):
            try:
                parse_turns([Q, turn])
            except BadTurnError as error:
                assert "message 1" in str(error)  # noqa: PT017 -- either end is right


@pytest.mark.parametrize(
    "key",
    [
        "messages",
        "conversation",
        "mapping",
        "chat_messages",
        "contents",
        "candidates",
        "choices",
        "request",
        "response",
        "input",
        "output",
        "prompt",
        "completion",
        "system",
        "id",
        "model",
    ],
)
def test_no_object_of_any_shape_raises(key: str) -> None:
    for junk in [*JUNK, {"a": {"parent": [], "message": 5}}, {"a": 1}, [Q, A], {"body": 1}]:
        for base in (
            {},
            {"messages": [Q, A]},
            {"prompt": "Q", "completion": "A"},
            {"contents": [Q]},
        ):
            read({**base, key: junk})
