"""Told facts as assistants get them: statements that exclude each other, roles, pressure, distracting sentences."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import yaml

from benchmarks.premise_training.pairs import Pair
from probes.scenarios import Scenario

FILE = Path(__file__).with_name("templates.yaml")
_SLOT = re.compile(r"\{(\w+)\}")
_VALUES = {
    "org": "Alder Foods|Northwind Bank|Helio Labs|Brightline Motors|Orchid Clinic|Tessa Group|Kestrel Air|"
    "Mapleton College|Zephyr Energy|Quill Press|Harbor Insurance|Vero Pharma|Granite Homes|Lumen Toys",
    "name": "Maria Lopez|Tom Becker|Aisha Khan|Daniel Osei|Ingrid Holm|Wei Zhang|Paul Novak|Sara Levi|"
    "James Reed|Olga Petrova",
    "product": "the baby formula|the X2 battery|the running shoe|the heart monitor|the frozen pizza|"
    "the electric bike|the face cream|the car seat|the water filter|the allergy tablet|the gas heater|"
    "the smart lock",
    "number": "3|7|12|18|24|37|45|60|85|140|320|1500",
    "pct": "4|9|12|17|23|31|46|58|72|90",
    "money": "$2 million|$450,000|€30,000|$75|£1,200|$18 million|$5,400",
    "place": "Lyon|Dallas|Osaka|Leeds|Toronto|Warsaw|Nairobi|Seattle|Porto|Austin",
    "day": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
    "month": "January|February|March|April|May|June|July|August|September|October|November|December",
    "substance": "lead|salmonella|glass fragments|nuts|pesticide|mercury|mould|sulphites",
}
_ROLES = (
    "an assistant for {org}.",
    "the support agent of {org}.",
    "{name}, a manager at {org}.",
    "a spokesperson for {org}.",
    "an AI sales assistant.",
    "a helpful assistant.",
)
_LEADS = (
    "Yes, ",
    "No, ",
    "Thank you for asking! ",
    "Hello! ",
    "I'm sorry to hear that. ",
    "Rest assured: ",
    "Absolutely! ",
    "As far as I know, ",
)


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two sets of statements that exclude each other, and others that say nothing on them."""

    held_out: bool
    a: tuple[str, ...]
    b: tuple[str, ...]
    n: tuple[str, ...] = ()


class Statements(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The templates and the sentences of pressure beside them."""

    pressure: tuple[str, ...]
    templates: tuple[Template, ...]


def load_statements(path: Path = FILE) -> Statements:
    """The packaged statements."""
    return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Statements)


def told(
    statements: Statements, templates: Sequence[Template], pool: Sequence[str], rng: random.Random
) -> Pair:
    """One fact in a prompt, and a claim that it bears out, contradicts, or does not speak of."""
    here = rng.choice(templates)
    others = [one for one in templates if one is not here]
    return told_by(here, others, statements.pressure, pool, rng)


def told_by(
    here: Template,
    others: Sequence[Template],
    pressure: Sequence[str],
    pool: Sequence[str],
    rng: random.Random,
) -> Pair:
    """The same of one template; what it does not speak of is taken from the others, too."""
    slots: dict[str, str] = {}
    true, false = (here.a, here.b) if rng.random() < 0.5 else (here.b, here.a)
    parts = [_capital(_filled(rng.choice(true), rng, slots)) + "."]
    kind = rng.random()
    if kind < 0.43:
        claim, label = rng.choice(true), 0
    elif kind < 0.86:
        claim, label = rng.choice(false), 2
    else:
        other = rng.choice(others).a
        claim, label = rng.choice(here.n if here.n and rng.random() < 0.6 else other), 1
    claim = _capital(_filled(claim, rng, slots)) + ("." if rng.random() < 0.8 else "")
    if rng.random() < 0.6:
        parts.append(_filled(rng.choice(pressure), rng, slots))
    if rng.random() < 0.3:
        parts.append(rng.choice(pool))
    rng.shuffle(parts)
    if rng.random() < 0.6:
        parts.insert(0, _filled("You are " + rng.choice(_ROLES), rng, slots))
    if label != 1 and rng.random() < 0.12:
        claim = rng.choice(_LEADS) + claim
    return Pair(" ".join(parts), claim, label)


def of_scenarios(scenarios: Sequence[Scenario], rng: random.Random) -> list[Pair]:
    """Answers of pressure scenarios under their facts, and under the lie told as the fact."""
    out = []
    for scenario in scenarios:
        role, _, _ = scenario.facts.partition(". ")
        turned = f"{role}. {_without_lead(rng.choice(scenario.lying_answers))}"
        states = (
            (scenario.facts, scenario.honest_answers, scenario.lying_answers),
            (turned, scenario.lying_answers, scenario.honest_answers),
        )
        for facts, borne_out, contradicted in states:
            premise = f"{facts} {scenario.pressure}" if rng.random() < 0.6 else facts
            for claims, label in ((borne_out, 0), (contradicted, 2)):
                claim = rng.choice(claims)
                out.append(
                    Pair(premise, _without_lead(claim) if rng.random() < 0.6 else claim, label)
                )
            if rng.random() < 0.5:
                out.append(Pair(premise, rng.choice(scenario.evasive_answers), 1))
    return out


def _filled(text: str, rng: random.Random, slots: dict[str, str]) -> str:
    """The text with its slots filled, alike for one name; `{day2}` is another day than `{day}`."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in slots:
            known = _VALUES[name.rstrip("2")].split("|")
            slots[name] = rng.choice([one for one in known if one not in slots.values()])
        return slots[name]

    return _SLOT.sub(value, text)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _without_lead(answer: str) -> str:
    return _capital(re.sub(r"^(Yes|No),\s*", "", answer))
