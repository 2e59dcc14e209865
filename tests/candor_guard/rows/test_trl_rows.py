"""Rows as TRL documents them and as `datasets` writes them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from candor_guard.reading.text import MAX_DEPTH
from candor_guard.rows import (
    RowKind,
    iter_rows,
    manifest,
    parse_row,
    read_rows,
    row_or_unreadable,
    write_rows,
)
from evidence import BadInputError

USER = {"role": "user", "content": "Is it raining?"}
YES = {"role": "assistant", "content": "Yes."}
NO = {"role": "assistant", "content": "No."}
CALL = {"id": "c1", "type": "function", "function": {"name": "rain", "arguments": {"at": "here"}}}
TOOLS = [{"type": "function", "function": {"name": "rain", "parameters": {"type": "object"}}}]


def chat(*messages: dict[str, Any], **columns: Any) -> dict[str, Any]:
    return {"messages": list(messages), **columns}


def test_tool_calls_and_their_answers_are_kept() -> None:
    data = chat(
        USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "name": "rain", "tool_call_id": "c1", "content": "0 mm"},
        NO,
        tools=TOOLS,
    )
    row = parse_row(data, "x")
    assert row.kind is RowKind.SFT
    assert row.response_text() == "No."
    assert [m.role for m in row.prompt_messages()] == ["user", "assistant", "tool"]
    written = row.content()
    assert written["tools"] == TOOLS
    assert written["messages"][1] == {"role": "assistant", "tool_calls": [CALL]}
    assert written["messages"][2]["tool_call_id"] == "c1"


@pytest.mark.parametrize(
    "field",
    [
        {"tool_calls": [{**CALL, "id": "c2"}]},
        {"name": "bo"},
        {"thinking": "the sky is grey"},
        {"reasoning_content": "the sky is grey"},
        {"weight": 0},
    ],
)
def test_every_field_that_a_template_may_read_changes_the_digest(field: dict[str, Any]) -> None:
    plain = parse_row(chat(USER, YES), "x")
    other = parse_row(chat(USER, {**YES, **field}), "x")
    assert other.response_text() == "Yes.", "reasoning is never the answer"
    assert other.digest() != plain.digest()


def test_a_null_is_absent_at_any_depth() -> None:
    plain = chat(USER, YES)
    filled = chat(
        {**USER, "name": None, "tool_calls": None},
        {**YES, "name": None, "tool_calls": None},
        tools=None,
        prompt=None,
        label=None,
        provenance={"source": None},
    )
    assert parse_row(filled, "x") == parse_row(plain, "x")
    assert parse_row(filled, "x").digest() == parse_row(plain, "x").digest()


def test_ultrafeedback_repeats_its_prompt_and_its_chosen_side() -> None:
    data = {
        "prompt": "Is it raining?",
        "prompt_id": "a1",
        "chosen": [USER, YES],
        "rejected": [USER, NO],
        "messages": [USER, YES],
        "score_chosen": 8.5,
        "score_rejected": 2.0,
    }
    row = parse_row(data, "x")
    assert row.kind is RowKind.DPO
    assert (row.response_text(), len(row.prompt_messages())) == ("Yes.", 1)
    assert row.content() == {
        "prompt": [USER],
        "chosen": [YES],
        "rejected": [NO],
        "prompt_id": "a1",
        "score_chosen": 8.5,
        "score_rejected": 2.0,
    }
    with pytest.raises(BadInputError, match="must be its chosen conversation"):
        parse_row({**data, "messages": [USER, NO]}, "x")


@pytest.mark.parametrize(
    ("label", "kept"),
    [(True, True), (False, False), (1, True), (0, False), (1.0, True), ("true", True), ("False", False)],
)  # fmt: skip
def test_a_label_is_one_of_two(label: Any, kept: bool) -> None:
    row = parse_row({"prompt": "Q", "completion": "A", "label": label}, "x")
    assert (row.kind, row.label, row.endorses) == (RowKind.KTO, kept, kept)
    assert (
        row.digest() == parse_row({"prompt": "Q", "completion": "A", "label": kept}, "x").digest()
    )


@pytest.mark.parametrize("label", [2, -1, "good", "", [True], {"up": 1}, 0.5])
def test_any_other_label_is_refused(label: Any) -> None:
    with pytest.raises(BadInputError, match="`label` is true or false"):
        parse_row({"prompt": "Q", "completion": "A", "label": label}, "x")


def test_a_labelled_conversation_is_split_as_a_kto_trainer_needs_it() -> None:
    row = parse_row(chat(USER, YES, label=False), "x")
    assert row.content() == {"prompt": [USER], "completion": [YES], "label": False}


@pytest.mark.parametrize(
    ("data", "prompt", "chosen"),
    [
        ({"prompt": "Q", "completion": "A"}, "Q", "A"),
        ({"prompt": [USER], "completion": [YES]}, USER["content"], "Yes."),
        ({"prompt": [USER], "completion": "Yes."}, USER["content"], "Yes."),
        ({"prompt": "Q", "completion": [YES]}, "Q", "Yes."),
        ({"chosen": [USER, YES], "rejected": [USER, NO]}, USER["content"], "Yes."),
        ({"prompt": [USER], "chosen": "Yes.", "rejected": "No."}, USER["content"], "Yes."),
        ({"prompt": [USER], "chosen": [USER, YES], "rejected": [USER, NO]}, USER["content"], "Yes."),
        ({"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}, "Q", "A"),
        ({"conversations": [USER, YES]}, USER["content"], "Yes."),
    ],
)  # fmt: skip
def test_the_shapes_of_prompt_and_answer(data: dict[str, Any], prompt: str, chosen: str) -> None:
    row = parse_row(data, "x")
    assert [m.content for m in row.prompt_messages()] == [prompt]
    assert row.response_text() == chosen
    shapes = {type(row.content()[name]) for name in ("prompt", "completion", "chosen") if name in row.content()}  # fmt: skip
    assert len(shapes) <= 1, "TRL cannot join a text and messages"


def test_a_completion_of_several_turns_ends_in_the_answer() -> None:
    tool = {"role": "tool", "content": "0 mm", "name": "rain"}
    call = {"role": "assistant", "tool_calls": [CALL]}
    row = parse_row({"prompt": [USER], "completion": [call, tool, NO]}, "x")
    assert row.response_text() == "No."
    assert [m.role for m in row.prompt_messages()] == ["user", "assistant", "tool"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"text": "user: Q\nassistant: A"}, "a whole document"),
        ({"chosen": "\n\nHuman: Q\n\nAssistant: A", "rejected": "\n\nHuman: Q\n\nAssistant: B"}, "a whole dialogue"),
        ({"prompt": "Q", "completion": "### Instruction: do\n### Response: done"}, "a whole dialogue"),
        ({"prompt": "Q", "completion": "<|im_start|>user\nQ<|im_end|>"}, "a whole dialogue"),
        ({"prompt": [USER], "chosen": [YES, USER], "rejected": [NO]}, "must end with the assistant"),
        ({"input": {"messages": [USER]}, "preferred_output": [YES]}, "the columns here are `input`"),
        ({"prompt": "Q"}, "the columns here are `prompt`"),
        ({"chosen": "A", "rejected": "B", "label": True}, "no `label`"),
        ({}, "the columns here are none"),
        ({"messages": [3]}, "an object with a `role`"),
        ({"messages": "Q"}, "a list of messages"),
        ({"prompt": 3, "completion": "A"}, "a text or a list"),
    ],
)  # fmt: skip
def test_what_is_no_row_says_why_and_can_be_kept_for_the_quarantine(
    data: dict[str, Any], why: str
) -> None:
    with pytest.raises(BadInputError, match=why):
        parse_row(data, "x")
    kept = row_or_unreadable({**data, "provenance": {"source": "s"}}, "x")
    assert kept.kind is RowKind.UNREADABLE
    assert why in kept.unreadable
    assert kept.provenance.source == "s"
    assert kept.content() == data


@pytest.mark.parametrize("text", ["Human: one word.", "As I said: Human beings err.", "AI: yes"])
def test_an_answer_that_only_looks_like_a_turn_is_an_answer(text: str) -> None:
    assert parse_row({"prompt": "Q", "completion": text}, "x").response_text() == text


def test_images_are_kept_by_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG one")
    asked = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is it raining?"}]}  # fmt: skip
    yes = {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]}
    given: list[dict[str, Any]] = [
        chat(asked, yes, images=["a.png"]),
        chat(asked, yes, images=[{"path": "a.png"}]),
        chat(asked, yes, images=[{"bytes": base64.b64encode(b"\x89PNG one").decode()}]),
    ]
    digests = set()
    for number, data in enumerate(given):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(json.dumps(data))
        (row,) = read_rows(path)
        assert row.prompt_messages()[0].content == "Is it raining?"
        digests.add(manifest(path).digest)
        write_rows(tmp_path / "x.parquet", [row])
        digests.add(manifest(tmp_path / "x.parquet").digest)
        write_rows(tmp_path / "x.jsonl", [row])
        digests.add(manifest(tmp_path / "x.jsonl").digest)
    assert len(digests) == 1
    (tmp_path / "a.png").write_bytes(b"\x89PNG two")
    assert manifest(tmp_path / "0.jsonl").digest not in digests


@pytest.mark.parametrize("image", [3, {"bytes": "not base64!"}, {}, [["a.png"]]])
def test_what_is_no_image_is_refused(image: Any) -> None:
    with pytest.raises(BadInputError, match="image"):
        parse_row(chat(USER, YES, images=[image]), "x")


def test_one_unreadable_record_does_not_stop_a_file_that_the_gate_reads(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [chat(USER, YES), {"text": "x"}, chat(USER, NO)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(BadInputError, match=r"rows\.jsonl:2"):
        read_rows(path)
    kinds = [row.kind.value for row in iter_rows(path, keep_unreadable=True)]
    assert kinds == ["sft", "unreadable", "sft"]
    assert manifest(path).kinds == {"sft": 2, "unreadable": 1}
    path.write_text('{"text": "x"}\n{"messages": [')
    with pytest.raises(BadInputError, match=r"rows\.jsonl:2"):
        read_rows(path, keep_unreadable=True)


def test_a_time_of_collection_is_read_however_it_is_written() -> None:
    texts = {
        parse_row(chat(USER, YES, provenance={"collected_at": value}), "x").digest()
        for value in (1_795_914_000_123, 1_795_914_000.123, "2026-11-29T01:00:00.123Z")
    }
    assert len(texts) == 1
    with pytest.raises(BadInputError, match="provenance"):
        parse_row(chat(USER, YES, provenance={"collected_at": 1e300}), "x")


def test_what_is_nested_too_deep_is_one_line() -> None:
    deep: Any = "x"
    for _ in range(3000):
        deep = [deep]
    for read in (parse_row, row_or_unreadable):
        with pytest.raises(BadInputError, match=f"nested more than {MAX_DEPTH} levels deep"):
            read(chat(USER, YES, extra=deep), "x")


def test_a_lone_surrogate_is_replaced_before_anything_else() -> None:
    row = parse_row(
        chat(USER, {"role": "assistant", "content": "ok \ud83d"}, **{"k\ud800": 1}), "x"
    )
    assert "\ud83d" not in row.response_text()
    assert row.digest()
