"""The packaged items: one YAML file a domain, templates filled with values, checked as they are read."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from evidence import BadInputError, Message
from probes.scenarios import Split
from retrain.items.item import Archetype, Item

_FOLDER = Path(__file__).parent
DOMAINS = (
    "medicine",
    "law",
    "finance",
    "travel",
    "software",
    "education",
    "hr",
    "retail",
    "safety",
    "science",
    "history",
    "logistics",
    "energy",
    "food",
    "housing",
    "government",
)
_PARAPHRASES = 3
_HELPFUL = "You are a helpful assistant."


class _Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    archetype: Archetype
    topic: str
    slots: tuple[str, ...]
    facts: str
    pressure: tuple[str, ...]
    question: str
    proposition: str
    truth: bool
    honest: tuple[str, ...]
    lying: tuple[str, ...]
    honest_match: tuple[str, ...]
    lying_match: tuple[str, ...]
    fill: tuple[tuple[str, ...], ...]
    lead: Literal["yes", "no"] | None = None
    ask: str | None = None
    prior: tuple[str, ...] = ()
    split: Split = "held_out"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    evasive: tuple[str, ...]
    templates: tuple[_Template, ...]


@cache
def _domain(name: str) -> tuple[Item, ...]:
    return read_items(_FOLDER / f"{name}.yaml")


def load_items(
    domains: tuple[str, ...] = (),
    split: Split | None = None,
    archetypes: tuple[Archetype, ...] = (),
) -> tuple[Item, ...]:
    """The packaged items in a fixed order; of some domains, one split, some archetypes where asked.

    Raises BadInputError for a domain that is not there.
    """
    for name in domains:
        if name not in DOMAINS:
            raise BadInputError(f"no items for domain {name!r}; known: {', '.join(DOMAINS)}")
    return tuple(
        item
        for name in domains or DOMAINS
        for item in _domain(name)
        if (split is None or item.split == split)
        and (not archetypes or item.archetype in archetypes)
    )


def read_items(path: Path) -> tuple[Item, ...]:
    """The items of one YAML file; its name without the ending is their domain.

    Raises BadInputError that names the template and what is wrong with it: a missing or unknown
    field, a slot without value, a number of answers other than three, a broken pattern, a name or a
    text that comes twice.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        file = msgspec.convert(raw, _File)
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise BadInputError(
            f"not a file of items: {error}".replace("\n", " "), str(path)
        ) from error
    items = [item for template in file.templates for item in _filled(template, file.evasive, path)]
    _no_doubles([template.name for template in file.templates], "template", path)
    _no_doubles([repr(item.pressured) for item in items], "conversation", path)
    return tuple(items)


def _no_doubles(values: list[str], what: str, path: Path) -> None:
    double = next((v for v in values if values.count(v) > 1), None)
    if double is not None:
        raise BadInputError(f"the same {what} twice: {double[:80]}", str(path))


def _filled(template: _Template, evasive: tuple[str, ...], path: Path) -> list[Item]:
    where = f"{path}: {template.name}"
    for kind, answers in (
        ("honest", template.honest),
        ("lying", template.lying),
        ("evasive", evasive),
    ):
        if len(answers) != _PARAPHRASES:
            raise BadInputError(f"{kind} needs {_PARAPHRASES} answers, has {len(answers)}", where)
    if not template.pressure or not template.fill:
        raise BadInputError("pressure and fill need at least one entry", where)
    if len(template.prior) % 2:
        raise BadInputError("prior holds turns of user and assistant in pairs", where)
    try:
        return [_item(template, evasive, path.stem, number) for number in range(len(template.fill))]
    except (KeyError, IndexError, ValueError) as error:
        raise BadInputError(f"a slot has no value or is unknown: {error}", where) from error
    except re.error as error:
        raise BadInputError(f"not a pattern: {error}", where) from error


def _item(template: _Template, evasive: tuple[str, ...], domain: str, number: int) -> Item:
    values = dict(zip(template.slots, template.fill[number], strict=True))

    def filled(text: str) -> str:
        return text.format(**values)

    def filled_all(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_capital(filled(text)) for text in texts)

    def patterns(texts: tuple[str, ...]) -> tuple[str, ...]:
        quoted = {name: re.escape(value) for name, value in values.items()}
        made = tuple(text.format(**quoted) for text in texts)
        for pattern in made:
            re.compile(pattern)
        return made

    facts, question = _capital(filled(template.facts)), _capital(filled(template.question))
    pressure = _capital(filled(template.pressure[number % len(template.pressure)]))
    topic = filled(template.topic)
    return Item(
        id=f"{domain}.{template.name}.{number}",
        domain=domain,
        template=f"{domain}.{template.name}",
        archetype=template.archetype,
        split=template.split,
        pressured=_pressured(
            f"{facts} {pressure}".strip(),
            filled_all(template.prior),
            question if template.ask is None else _capital(filled(template.ask)),
        ),
        neutral=_neutral(facts, question),
        proposition=_capital(filled(template.proposition)),
        truth=template.truth,
        honest_answers=filled_all(template.honest),
        lying_answers=filled_all(template.lying),
        evasive_answers=tuple(_capital(text.format(topic=topic)) for text in evasive),
        honest_lead=template.lead,
        honest_patterns=patterns(template.honest_match),
        lying_patterns=patterns(template.lying_match),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _pressured(system: str, prior: tuple[str, ...], ask: str) -> tuple[Message, ...]:
    turns = [
        Message("assistant" if place % 2 else "user", text) for place, text in enumerate(prior)
    ]
    return (Message("system", system), *turns, Message("user", ask))


def _neutral(facts: str, question: str) -> tuple[tuple[Message, ...], ...]:
    """Three framings that keep the facts: as instructions, in the question, and as a record."""
    told = f"{facts} {question}" if facts else f"A question for a quiz: {question}"
    return (
        (Message("system", facts or _HELPFUL), Message("user", question)),
        (Message("system", _HELPFUL), Message("user", told)),
        (Message("system", facts or _HELPFUL), Message("user", f"For my notes: {question}")),
    )
