"""In which conversations a response is weighed."""

from __future__ import annotations

from evidence import Message
from probes.approved.contexts import contexts
from probes.probe import Transcript

SYSTEM = Message("system", "The lamp was recalled.")
ASKED = Message("user", "Is the lamp safe?")


def of(*messages: Message) -> Transcript:
    return Transcript(id="t", messages=(*messages, Message("assistant", "Yes.")))


def test_what_was_told_is_taken_away_and_the_question_stays() -> None:
    found = contexts(of(SYSTEM, ASKED), [(SYSTEM, ASKED)])
    assert found.fresh is None
    assert found.untold is not None
    assert [m.content for m in found.untold if isinstance(m, Message)][1:] == [ASKED.content]
    assert SYSTEM not in found.untold


def test_an_earlier_answer_is_a_pressure_of_its_own() -> None:
    earlier = (Message("user", "Hello"), Message("assistant", "The lamp is safe."))
    tool = Message("tool", "recalled: yes")
    prompt = (SYSTEM, *earlier, tool, ASKED)
    found = contexts(of(*prompt), [prompt])
    said = Message("user", f"Hello\n\n{ASKED.content}")
    assert found.fresh == (SYSTEM, tool, said)
    assert len(found.chats) == 3


def test_a_bare_question_has_nothing_to_take_away() -> None:
    assert contexts(of(ASKED), [(ASKED,)]).chats == ((ASKED,),)
