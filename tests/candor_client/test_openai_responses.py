"""Turns of the Responses API: what goes on from what, and what is no turn. The SDK itself: tests/system/test_senders.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from candor_client import Response
from candor_client.adapters.openai_responses import ResponseTurns
from candor_client.adapters.turns import Turns


class Kept:
    def __init__(self) -> None:
        self.sent: list[Response] = []

    def put(self, response: Response) -> None:
        self.sent.append(response)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def turns(kept: Kept) -> ResponseTurns:
    return ResponseTurns(Turns(kept, assistant="shop"))  # type: ignore[arg-type]


def answered(name: str, said: str = "Yes.", **more: Any) -> SimpleNamespace:
    item = {"type": "message", "role": "assistant", "content": said}
    return SimpleNamespace(
        **{"id": name, "model": "m", "status": "completed", "output": [item]} | more
    )


def said(response: Response) -> list[Any]:
    return [message["content"] for message in response.messages]


def test_a_response_goes_on_from_the_one_that_it_names(turns: ResponseTurns, kept: Kept) -> None:
    turns.put(answered("r1"), {"input": "One?", "instructions": "Be brief."})
    turns.put(answered("r2"), {"input": "Two?", "previous_response_id": "r1"})
    turns.put(answered("r3"), {"input": "Three?", "previous_response_id": "r2"})
    assert said(kept.sent[0]) == ["Be brief.", "One?", "Yes."]
    assert said(kept.sent[2]) == ["One?", "Yes.", "Two?", "Yes.", "Three?", "Yes."]
    assert {one.conversation_id for one in kept.sent} == {"r1"}


def test_what_was_asked_elsewhere_is_not_made_up(turns: ResponseTurns, kept: Kept) -> None:
    turns.put(answered("r2"), {"input": "Two?", "previous_response_id": "r1"})
    assert (said(kept.sent[0]), kept.sent[0].conversation_id) == (["Two?", "Yes."], "r2")


def test_the_longest_ago_is_forgotten(turns: ResponseTurns, kept: Kept) -> None:
    for k in range(258):
        turns.put(answered(f"r{k}"), {"input": f"{k}?"})
    turns.put(answered("a"), {"input": "On?", "previous_response_id": "r1"})
    turns.put(answered("b"), {"input": "On?", "previous_response_id": "r257"})
    assert [said(one) for one in kept.sent[-2:]] == [
        ["On?", "Yes."],
        ["257?", "Yes.", "On?", "Yes."],
    ]


@pytest.mark.parametrize("status", ["failed", "queued", "in_progress", "cancelled", None])
def test_what_has_not_ended_is_no_turn(turns: ResponseTurns, kept: Kept, status: Any) -> None:
    turns.put(answered("r1", status=status), {"input": "One?"})
    turns.put(answered("r2", output=[]), {"input": "One?"})
    turns.put(SimpleNamespace(status_code=200), {"input": "One?"})
    assert kept.sent == []
