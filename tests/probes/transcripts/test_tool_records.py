"""The acts of a file's conversations stand beside their words."""

from __future__ import annotations

from typing import Any

import pytest

from evidence.tools import Act
from probes.transcripts.chat import record_of

CALL = {"id": "c1", "function": {"name": "send", "arguments": '{"to":"Ana"}'}}
ACT = Act(name="send", arguments='{"to":"Ana"}', call_id="c1", result="down")


@pytest.mark.parametrize(
    ("data", "act"),
    [
        (
            {
                "messages": [
                    {"role": "user", "content": "Go."},
                    {"role": "assistant", "content": None, "tool_calls": [CALL]},
                    {"role": "tool", "tool_call_id": "c1", "content": "down"},
                    {"role": "assistant", "content": "Sent."},
                ]
            },
            ACT,
        ),
        (
            {
                "conversations": [
                    {"from": "human", "value": "Go."},
                    {"from": "function_call", "value": '{"name": "send", "arguments": {"to": "Ana"}}'},
                    {"from": "observation", "value": "down"},
                    {"from": "gpt", "value": "Sent."},
                ],
                "tools": '[{"name": "send", "description": "Sends."}]',
            },
            Act(name="send", arguments='{"to":"Ana"}', result="down"),
        ),
        (
            {
                "input": "Go.",
                "output": [
                    {"type": "function_call", "call_id": "c1", "name": "send", "arguments": '{"to":"Ana"}'},
                    {"type": "function_call_output", "call_id": "c1", "output": "down"},
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Sent."}]},
                ],
            },
            ACT,
        ),
    ],
)  # fmt: skip
def test_acts_are_recorded(data: dict[str, Any], act: Act) -> None:
    found = record_of(data, "f:1", "x").transcript
    assert found is not None
    assert found.record is not None
    assert found.record.acts == (act,)
    assert found.response == "Sent."


def test_what_the_measured_turn_calls_is_an_act_and_no_words() -> None:
    turns = [{"role": "user", "content": "Go."}, {"role": "assistant", "content": "Sent.", "tool_calls": [CALL]}]  # fmt: skip
    record = record_of({"messages": turns}, "f:1", "x")
    assert record.unread == ("tool call",)
    assert record.transcript is not None
    assert record.transcript.response == "Sent."
    assert record.transcript.record is not None
    assert [act.result for act in record.transcript.record.acts] == [None]


def test_five_megabytes_of_output_are_read_and_bounded() -> None:
    turns = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "row\n" * 1_250_000},
        {"role": "assistant", "content": "Sent."},
    ]
    found = record_of({"messages": turns}, "f:1", "x").transcript
    assert found is not None
    assert found.record is not None
    assert len(found.record.acts[0].result or "") < 20_000
