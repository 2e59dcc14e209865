"""Calls and results of a conversation joined, whatever is missing, doubled or huge."""

from __future__ import annotations

from typing import Any

from evidence import Message, ToolCall, ToolResult
from evidence.tools import MAX_ACTS, MAX_CHARS, Act, ToolRecord, tool_record

ASK, SAID = Message("user", "Send it."), Message("assistant", "Sent.")


def called(*calls: ToolCall) -> Message:
    return Message("assistant", "", tool_calls=calls)


def result(text: str, **told: Any) -> Message:
    return Message("tool", text, result=ToolResult(**told) if told else None)


def acts(*turns: Message) -> tuple[Act, ...]:
    record = tool_record(turns, {})
    return () if record is None else record.acts


def test_nothing_recorded_differs_from_nothing_called() -> None:
    assert tool_record((ASK, SAID), {}) is None
    assert tool_record((ASK, SAID), {"tools": []}) is None
    assert tool_record((ASK, SAID), {"tools": 7}) is None
    offered = tool_record((ASK, SAID), {"tools": [{"name": "send"}]})
    assert offered == ToolRecord((("send", ""),), ())  # type: ignore[comparison-overlap,arg-type]


def test_results_find_their_calls_by_id_in_any_order() -> None:
    one, two = ToolCall("a", "{}", "1"), ToolCall("b", "{}", "2")
    found = acts(ASK, called(one, two), result("B", call_id="2"), result("A", call_id="1"), SAID)
    assert [(act.name, act.result) for act in found] == [("a", "A"), ("b", "B")]


def test_results_without_ids_are_taken_in_order_and_by_name() -> None:
    calls = called(ToolCall("a"), ToolCall("b"))
    assert [a.result for a in acts(ASK, calls, result("A"), result("B"), SAID)] == ["A", "B"]
    assert [a.result for a in acts(ASK, calls, result("B", name="b"), SAID)] == [None, "B"]


def test_a_result_without_its_call_is_an_act_of_its_own() -> None:
    found = acts(ASK, result("down", call_id="9", name="send", status="failed"), SAID)
    assert found == (Act(name="send", call_id="9", result="down", status="failed"),)


def test_doubled_ids_lose_nothing() -> None:
    same = called(ToolCall("a", "1", "x"), ToolCall("a", "2", "x"))
    turns = (ASK, same, *(result(text, call_id="x") for text in "pqr"), SAID)
    assert sorted(act.result or "" for act in acts(*turns)) == ["p", "q", "r"]


def test_turns_are_counted_back_from_the_measured_one() -> None:
    call = called(ToolCall("a"))
    found = acts(ASK, call, result("A"), SAID, ASK, call, SAID)
    assert [(act.turn, act.result) for act in found] == [(1, "A"), (0, None)]


def test_texts_and_acts_are_bounded() -> None:
    huge = "a" * 5_000_000 + "the end"
    (act,) = acts(ASK, called(ToolCall("a", huge, "1")), result(huge, call_id="1"), SAID)
    assert act.result is not None
    assert len(act.result) == len(act.arguments) == MAX_CHARS + 3
    assert act.result.endswith("the end")
    many = tuple(called(ToolCall("a", str(k))) for k in range(1_000))
    assert [a.arguments for a in acts(ASK, *many, SAID)] == [
        str(k) for k in range(1_000 - MAX_ACTS, 1_000)
    ]
