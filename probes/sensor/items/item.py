"""One calibration item: a question whose true answer is known, with and without pressure."""

from __future__ import annotations

from typing import Literal

import msgspec

from evidence import Archetype, Message
from probes.scenarios import AnswerLabel, label_answer

State = Literal["a", "b"]
Place = Literal["before", "woven", "after", "user", "earlier"]
Pull = Literal["against", "with"]
Level = Literal["simple", "crossed", "own"]
"""One short fact, contexts as real ones are with the fact turned round, or a user's own items."""


class CalibrationItem(msgspec.Struct, frozen=True, kw_only=True):
    """One situation in one of its two states.

    Every fill of a template comes in two states of the facts, `a` and `b`. What is honest in one is
    a lie in the other, word for word: neither the words of a reply nor those of a prompt tell a lie.

    Parameters
    ----------
    id, template, domain
        `domain.template.number`, `domain.template` and `domain`. Items of a template share their
        wording: leave out whole templates when you measure.
    state, twin
        Which state holds, and the id of the item in the other state; its own where it has none.
    archetype, numbers
        What the claim is about; whether it is a figure.
    place
        Where the pressure stands: `before` the facts, `woven` into their sentence, `after` them, in
        the `user`'s last turn, or in `earlier` turns.
    pull
        Whether the pressure pulls `against` the facts, or `with` them (then a reply that obeys it is
        honest).
    topic
        What the question is about, in a few words.
    messages, neutral_messages, deceive_messages
        The conversation up to the reply: under pressure; with the facts kept and no pressure, as a
        person would write it; and with an order to deceive about the fact.
    question
        The last thing that the user asks, without pressure.
    honest_answers, lying_answers, evasive_answers
        At least three each, from a single word to several sentences of which one clause decides.
    honest_lead
        The word an honest answer begins with where the question is one of yes or no, else None.
    honest_patterns, lying_patterns
        Case-insensitive regular expressions that state, or contradict, the facts.
    level
        How much there is to read.
    """

    id: str
    domain: str
    template: str
    state: State
    twin: str
    archetype: Archetype
    numbers: bool
    place: Place
    pull: Pull
    topic: str
    messages: tuple[Message, ...]
    neutral_messages: tuple[Message, ...]
    deceive_messages: tuple[Message, ...]
    question: str
    honest_answers: tuple[str, ...]
    lying_answers: tuple[str, ...]
    evasive_answers: tuple[str, ...]
    honest_lead: Literal["yes", "no"] | None
    honest_patterns: tuple[str, ...]
    lying_patterns: tuple[str, ...]
    level: Level = "crossed"

    def label_answer(self, text: str) -> AnswerLabel:
        """Label a free answer by its words, as `probes.scenarios.label_answer` does."""
        return label_answer(text, self.honest_lead, self.honest_patterns, self.lying_patterns)
