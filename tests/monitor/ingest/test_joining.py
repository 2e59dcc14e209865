"""Calls and agents of a trace joined into their turn, whatever is missing, doubled, circular or late."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from evidence import Message, Response, Stratum, ToolCall
from evidence.tools import TOOL_SPANS, tool_record
from monitor.ingest.joining import as_part, join, waits
from monitor.ingest.parts import Part

NOW_S = 1_790_000_000.0
TRACE = "5b8efff798038103d269b633813fc60c"


def chat(span: str = "c1", parent: str | None = "a1", **changes: Any) -> Response:
    extra = {"trace_id": TRACE, "span_id": span, "service": "shop"}
    response = Response(
        response_id=f"{TRACE}-{span}",
        stratum=Stratum("shop", "other"),
        model="m",
        conversation_id="c",
        rater="0" * 32,
        created_at_s=NOW_S,
        messages=(Message("user", "Tell Ana."), Message("assistant", "I've told Ana.")),
        extra=extra if parent is None else extra | {"parent_span_id": parent},
    )
    return msgspec.structs.replace(response, **changes)


def agent(span: str = "a1", parent: str = "", **told: Any) -> Part:
    return Part(kind="agent", trace_id=TRACE, span_id=span, parent_id=parent, **told)


def tool(span: str = "t1", parent: str = "a1", **told: Any) -> Part:
    fields = {"name": "send_mail", "result": "550 mailbox full", "status": "failed"}
    at = {"service": "shop", "started_at_s": NOW_S - 3, "ended_at_s": NOW_S - 2}
    placed = {"trace_id": TRACE, "span_id": span, "parent_id": parent}
    return Part(kind="tool", **placed, **(at | fields | told))


def names(response: Response, *parts: Part) -> list[str]:
    """The calls that are joined, by their spans' order."""
    found = join(response, (*parts, as_part(response))).outcome
    assert isinstance(found, Response)
    return [one["name"] for one in found.extra.get(TOOL_SPANS, [])]


def test_a_response_waits_that_is_not_alone_in_its_trace() -> None:
    assert waits(chat())
    assert not waits(chat(parent=None))
    root_agent = chat(parent=None)
    root_agent.extra["span_kind"] = "agent"
    assert waits(root_agent)
    assert not waits(chat(extra={"trace_id": 7, "span_id": "s", "parent_span_id": "p"}))


def test_a_call_below_the_same_agent_stands_in_the_record() -> None:
    offered = [{"name": "send_mail", "description": "Sends."}]
    found = join(chat(), [tool(), agent(tools=offered), as_part(chat())])
    assert isinstance(found.outcome, Response)
    assert found.used == ("tool:t1", "agent:a1")
    assert found.outcome.messages == chat().messages
    record = tool_record(found.outcome.messages, found.outcome.extra)
    assert record is not None
    assert [t.name for t in record.tools] == ["send_mail"]
    (act,) = record.acts
    assert (act.name, act.status, act.result, act.turn) == (
        "send_mail",
        "failed",
        "550 mailbox full",
        0,
    )


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        pytest.param((tool(parent=""),), ["send_mail"], id="no parent is told, nor an agent"),
        pytest.param((tool(parent="x"), agent()), ["send_mail"], id="half a trace"),
        pytest.param((tool(parent="c1"), agent()), ["send_mail"], id="below the chat itself"),
        pytest.param(
            (tool(parent="b1"), agent("b1", "a1"), agent()), ["send_mail"], id="of an agent below"
        ),
        pytest.param((tool(parent="b1"), agent("b1"), agent()), [], id="of another agent"),
        pytest.param(
            (tool(parent="b1"), agent("b1", "b2"), agent("b2", "b1"), agent()),
            ["send_mail"],
            id="cyclic parents",
        ),
        pytest.param((tool(started_at_s=NOW_S + 1), agent()), [], id="begun after the answer"),
        pytest.param(
            (tool(started_at_s=NOW_S + 3600, service="mcp"), agent()),
            ["send_mail"],
            id="by a clock that is apart",
        ),
        pytest.param((tool(), tool(), agent()), ["send_mail"], id="twice"),
    ],
)
def test_which_calls_belong_to_a_turn(parts: tuple[Part, ...], joined: list[str]) -> None:
    assert names(chat(), *parts) == joined


def test_a_call_that_the_messages_name_belongs_wherever_its_span_stands() -> None:
    called = Message("assistant", "", tool_calls=(ToolCall("send_mail", "{}", "k1"),))
    response = chat(messages=(*chat().messages[:1], called, chat().messages[1]))
    elsewhere = tool(parent="b1", call_id="k1", started_at_s=NOW_S + 9)
    found = join(response, [elsewhere, agent("b1"), agent()]).outcome
    assert isinstance(found, Response)
    record = tool_record(found.messages, found.extra)
    assert record is not None
    (act,) = record.acts
    assert (act.call_id, act.arguments, act.status) == ("k1", "{}", "failed")


def test_the_same_call_told_by_two_spans_is_one_act() -> None:
    twice = [tool(call_id="k1"), tool("t2", call_id="k1", result=None, status="")]
    found = join(chat(), [*twice, agent()]).outcome
    assert isinstance(found, Response)
    record = tool_record(found.messages, found.extra)
    assert record is not None
    assert len(record.acts) == 1


def answer(span: str = "a1", parent: str | None = None) -> Response:
    response = chat(span, parent)
    response.extra["span_kind"] = "agent"
    return response


def test_an_agents_answer_that_its_chat_gave_is_no_response_of_its_own() -> None:
    found = join(answer(), [as_part(answer()), as_part(chat())])
    assert found.outcome == as_part(answer())


def test_an_agents_answer_without_a_chat_is_a_response_with_its_calls() -> None:
    assert names(answer(), tool(), tool("t2", "b1", name="x"), agent("b1")) == ["send_mail"]


def test_of_two_agents_that_say_the_same_the_inner_one_is_measured() -> None:
    outer, inner = answer("a0"), answer("a1", "a0")
    parts = [as_part(outer), as_part(inner)]
    assert join(outer, parts).outcome == as_part(outer)
    assert isinstance(join(inner, parts).outcome, Response)


def test_calls_that_are_added_are_bounded_and_the_last_ones_stay() -> None:
    many = [tool(f"t{i}", result="x" * 16_000, ended_at_s=NOW_S - 900 + i) for i in range(300)]
    found = join(chat(), [*many, agent()]).outcome
    assert isinstance(found, Response)
    spans = found.extra[TOOL_SPANS]
    assert sum(len(one["result"]) for one in spans) <= 400_000
    assert spans[-1]["at_s"] == NOW_S - 601
