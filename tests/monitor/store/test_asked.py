"""What the gate asks the store about rows: the short ways read what the whole record says."""

from __future__ import annotations

from sqlalchemy import Engine, update

from evidence import Feedback, Message, Response, SampledBy, Stratum, ToolCall, words_digest
from monitor.store import asked, reading
from monitor.store.intake import (
    NewFeedback,
    NewResponse,
    Position,
    insert_feedback,
    insert_responses,
    pack_body,
    unpack_body,
)
from monitor.store.schema import responses

ODD = ("r'1", 'r"2', "r\\3", "r,4", "é\U0001f6005", "r[6]", " r7 ", "null")
CONVERSATIONS = (
    (Message("user", "q"), Message("assistant", "a")),
    (Message("user", "\u2028 \U0001f600 \\ \" '"), Message("assistant", "a" * 5_000)),
    (
        Message("assistant", "", reasoning="hm", tool_calls=(ToolCall("look", "{}"),)),
        Message("tool", "found"),
        Message("assistant", "a", reasoning="hm"),
    ),
    (Message("assistant", "alone"),),
)


def _response(number: int, name: str) -> NewResponse:
    made = Response(
        response_id=name, stratum=Stratum("a"), model="m", conversation_id="c", rater="0" * 32,
        created_at_s=1.0, messages=CONVERSATIONS[number % len(CONVERSATIONS)],
    )  # fmt: skip
    at = Position("k", "t", 0, number)
    return NewResponse(made, at, 0.5, 1.0, 1.0, SampledBy.ARRIVAL, None)


def _feedback(number: int, name: str, text: str | None) -> NewFeedback:
    made = Feedback(
        feedback_id=f"f-{name}", assistant="a", response_id=name, rater="0" * 32, created_at_s=2.0,
        value=1.0, kind="thumb" if text is None else "edit", text=text,
    )  # fmt: skip
    return NewFeedback(made, Position("k", "f", 0, number))


def test_digests_are_those_of_the_whole_record(engine: Engine) -> None:
    stored = [_response(number, name) for number, name in enumerate(ODD)]
    with engine.begin() as connection:
        insert_responses(connection, stored, now_s=3.0)
        given = [_feedback(0, ODD[0], None), _feedback(1, ODD[1], "mine")]
        insert_feedback(connection, given, {one.response_key for one in given}, now_s=3.0)
        erased = responses.c.response_id == ODD[-1]
        connection.execute(update(responses).where(erased).values(body=None))
    with reading(engine) as connection:
        found = {
            one.response_id: one
            for one in asked.known_responses(
                connection, "a", {*ODD, "r", "unknown"}, in_parts={ODD[1], ODD[2]}
            )
        }
        signals = {
            one.feedback_id: one
            for one in asked.known_feedback(connection, "a", {f"f-{name}" for name in ODD})
        }
    assert found.keys() == set(ODD)
    for one in stored[:-1]:
        name = one.response.response_id
        whole = unpack_body(pack_body(one.response)).messages
        assert found[name].said == words_digest(whole)
        parts = (words_digest(whole[:-1]), words_digest(whole[-1:]))
        wanted = parts if name in {ODD[1], ODD[2]} else (None, None)
        assert (found[name].asked, found[name].answered) == wanted
    gone = found[ODD[-1]]
    assert (gone.said, gone.asked, gone.answered) == (None, None, None)
    assert {name: one.edit for name, one in signals.items()} == {
        f"f-{ODD[0]}": None,
        f"f-{ODD[1]}": words_digest((Message("assistant", "mine"),)),
    }


def test_parts_tell_two_splits_of_one_text_apart() -> None:
    turns = (Message("user", "a"), Message("assistant", "b"))
    joined = (Message("user", 'a"],["assistant","b'),)
    assert words_digest(turns) != words_digest(joined)
    assert words_digest(turns[::-1]) != words_digest(turns)
