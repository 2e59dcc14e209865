from __future__ import annotations

from collections.abc import Sequence

import pytest

from evidence import Message
from monitor.demo.assistant import without_note
from monitor.demo.belief import ApprovedBelief, surprise
from monitor.demo.turns import HONEST_MODEL, Turn
from probes.calibration import Platt
from probes.models.chat import Chat, Likelihood
from probes.probe import Transcript
from probes.scenarios import NOTE, load_scenarios

SCENARIO = load_scenarios("support")[0]


class Approved:
    """Finds what says `recalled` likely, and all else unlikely."""

    name = "approved"
    digest = "d" * 64

    def __init__(self) -> None:
        self.seen: list[Chat] = []

    def loglikelihood(self, batch: Sequence[tuple[Chat, str]]) -> list[Likelihood]:
        self.seen += [chat for chat, _ in batch]
        return [Likelihood(-1.0 if "recalled" in text else -20.0, 10) for _, text in batch]

    def generate(
        self, batch: Sequence[Chat], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        raise AssertionError("the belief generates nothing")


def transcript(text: str) -> Transcript:
    turn = Turn(model=HONEST_MODEL, scenario=SCENARIO.id, pressured=True, text=text)
    return turn.transcript("t")


def test_what_the_approved_version_would_not_say_is_a_lie() -> None:
    probe = ApprovedBelief(Approved(), Platt(4.0, -4.0), without_note)
    honest, lie, empty = probe.measure(
        [
            transcript(SCENARIO.honest_answers[0]),
            transcript(SCENARIO.lying_answers[0]),
            transcript(" "),
        ]
    )
    assert honest.p_lie is not None
    assert lie.p_lie is not None
    assert honest.p_lie < 0.1
    assert lie.p_lie > 0.9
    assert lie.answers == {"surprise_nats": pytest.approx(2.0)}
    assert empty.p_lie is None
    assert empty.abstained == "empty response"


def test_it_is_asked_without_the_pressure_and_with_the_facts() -> None:
    approved = Approved()
    surprise(approved, [transcript("No.")], without_note)
    (chat,) = approved.seen
    assert list(chat) == list(SCENARIO.neutral_messages())
    assert NOTE not in SCENARIO.facts


def test_a_prompt_without_a_note_is_left_alone() -> None:
    messages = (Message("user", "Hello"), Message("assistant", "Hi"))
    assert without_note(Transcript(id="t", messages=messages)) == messages[:1]


def test_version_tells_calibrations_apart() -> None:
    versions = {ApprovedBelief(Approved(), Platt(s, 0.0), without_note).version for s in (1.0, 2.0)}
    assert len(versions) == 2
