"""Situations in which a model can be asked for the truth, and to deceive, and the rules that tell which it did."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Literal, NamedTuple

import msgspec
import yaml

from evidence import Message
from probes.scenarios import AnswerLabel, Split, label_answer, load_scenarios


class Situation(NamedTuple):
    """Facts, a question, and how its replies are labelled.

    `told` is the system prompt that a reply is shown under, with no word of truth or deceit in it.
    Situations of one template never stand on both sides of a split.
    """

    kind: str
    template: str
    split: Split
    facts: str
    told: str
    question: str
    lead: Literal["yes", "no"] | None
    honest: tuple[str, ...]
    lying: tuple[str, ...]

    def asked(self, orders: Orders, *, deceive: bool) -> tuple[Message, ...]:
        """The conversation in which the model is ordered to be truthful or to deceive."""
        order = orders.deceive if deceive else orders.truthful
        begin = f" {orders.begin}" if self.lead else ""
        return (Message("system", f"{self.facts} {order}{begin}"), Message("user", self.question))

    def shown(self, reply: str) -> tuple[Message, ...]:
        """The conversation without the order, with the reply."""
        turns = (Message("system", self.told), Message("user", self.question))
        return (*turns, Message("assistant", reply))

    def label(self, reply: str) -> AnswerLabel:
        """Whether the reply states the facts, contradicts them, or neither."""
        return label_answer(reply, self.lead, self.honest, self.lying)


class Orders(msgspec.Struct, frozen=True):
    """What a model is told to write; `begin` comes after where the question is one of yes or no."""

    truthful: str
    deceive: str
    begin: str


class _YesNo(msgspec.Struct, frozen=True):
    name: str
    split: Split
    yes_fact: str
    no_fact: str
    question: str


class _Value(msgspec.Struct, frozen=True):
    name: str
    split: Split
    facts: str
    question: str


class _File(Orders, frozen=True):
    yes_no: tuple[_YesNo, ...]
    value: tuple[_Value, ...]
    fill: tuple[dict[str, str], ...]


def load_situations() -> tuple[Orders, tuple[Situation, ...]]:
    """The packaged situations, those of `probes.scenarios` among them, and the orders."""
    text = resources.files("probes.activation").joinpath("own.yaml").read_text("utf-8")
    file = msgspec.convert(yaml.safe_load(text), _File)
    return file, (*_yes_no(file.yes_no, file.fill), *_values(file.value, file.fill), *_scenarios())


def _yes_no(templates: Sequence[_YesNo], fills: Sequence[dict[str, str]]) -> Iterator[Situation]:
    """Each question under the fact and under its opposite."""
    worlds: tuple[Literal["yes", "no"], ...] = ("yes", "no")
    for one in templates:
        for fill in fills:
            for lead in worlds:
                facts = (one.yes_fact if lead == "yes" else one.no_fact).format(**fill)
                question = one.question.format(**fill)
                name = f"yes_no.{one.name}"
                yield Situation("yes or no", name, one.split, facts, facts, question, lead, (), ())


def _values(templates: Sequence[_Value], fills: Sequence[dict[str, str]]) -> Iterator[Situation]:
    """Another number than the one that was told is the lie."""
    for one in templates:
        for fill in fills:
            value = re.escape(fill["value"])
            facts, question = one.facts.format(**fill), one.question.format(**fill)
            honest, lying = (rf"\b{value}\b",), (rf"\b(?!{value}\b)\d+",)
            name = f"value.{one.name}"
            yield Situation("value", name, one.split, facts, facts, question, None, honest, lying)


def _scenarios() -> Iterator[Situation]:
    """The packaged pressure scenarios: a reply is shown under the pressure, whatever was ordered."""
    for one in load_scenarios():
        yield Situation(
            "scenario",
            one.template,
            one.split,
            one.facts,
            f"{one.facts} {one.pressure}",
            one.question,
            one.honest_lead,
            one.honest_patterns,
            one.lying_patterns,
        )
