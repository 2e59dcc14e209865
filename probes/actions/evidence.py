"""What a record backs: the values of calls and results, and what the user had told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from evidence.tools import Act
from probes.actions.values import (
    Field,
    Value,
    fields_of,
    json_of,
    month_of,
    normal_text,
    plain,
    values_of,
)

_DIGITS = re.compile(r"\d+(?:\.\d+)?")
_ITEM = re.compile(r"\s*(?:,|\n|;|\|)\s*")
_MAX_COUNT, _FEW = 200, 6
_SMALL = frozenset(
    {"of", "the", "and", "a", "an", "at", "in", "on", "for", "to", "with", "mr", "ms", "dr", "s"}
)


class Backing:
    """Some texts as a place to look values up in.

    Parameters
    ----------
    texts
        Arguments and results of calls, or what a user wrote.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.raw = tuple(texts)
        self.texts = tuple(map(plain, texts))

    @classmethod
    def of_act(cls, act: Act) -> Backing:
        """What one call and its result say."""
        return cls([act.name.replace("_", " "), act.arguments, act.result or ""])

    @cached_property
    def normal(self) -> str:
        return f" {normal_text(' ; '.join(self.texts).replace('_', ' '))} "

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(re.findall(r"[^\W_]+", self.normal))

    @cached_property
    def values(self) -> frozenset[Value]:
        found = [v._replace(shown="") for text in self.texts for v in values_of(text)]
        months = (month_of(v.normal) for v in found if v.type == "date" and v.normal[:4].isdigit())
        return frozenset([*found, *(Value("date", month, "") for month in months if month)])

    @cached_property
    def types(self) -> frozenset[str]:
        named = any(field.value[:1].isupper() for field in self.fields)
        return frozenset([*(value.type for value in self.values), *["name"] * named])

    @cached_property
    def numbers(self) -> frozenset[float]:
        said = {float(v.normal) for v in self.values if v.type == "number"}
        digits = (d for text in self.texts for d in _DIGITS.findall(text.replace(",", ""))[:2_000])
        return frozenset(said | {float(d) for d in digits})

    @cached_property
    def counts(self) -> frozenset[int]:
        """How many things the texts list: a reply may count them."""
        found: set[int] = set()
        for text in self.texts:
            found.add(len([line for line in text.split("\n") if line.strip()]))
        found |= {len(_ITEM.split(field.value)) for field in self.fields}
        for text in self.raw:
            found |= _lengths(text)
        return frozenset(n for n in found if 1 < n <= _MAX_COUNT)

    @cached_property
    def made(self) -> frozenset[float]:
        """Halves, sums and differences of the numbers: what a reply may have computed."""
        pairs = [(a, b) for a in self.numbers for b in self.numbers]
        return frozenset(
            {a / 2 for a in self.numbers} | {a + b for a, b in pairs} | {a - b for a, b in pairs}
        )

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        return tuple(field for text in self.raw for field in fields_of(text))

    def missing(self, value: Value) -> float:
        """How much of a value is not in the texts, in [0, 1]."""
        if value.type == "number":
            return 0.0 if self._has_number(value) else 1.0
        if value.type in {"time", "date"}:
            return 0.0 if (value.type, value.normal, "") in self.values else self._missing(value)
        return self._missing(value)

    def _missing(self, value: Value) -> float:
        shown = normal_text(value.shown) if value.type in {"time", "date"} else value.normal
        if f" {shown} " in self.normal or (
            value.type == "mark" and shown.replace("_", " ") in self.normal
        ):
            return 0.0
        if value.type != "name":
            return 1.0
        words = [w for w in re.findall(r"[^\W_]+", shown) if w not in _SMALL]
        lost = [w for w in words if w not in self.words]
        share = len(lost) / len(words) if words else 0.0
        return 1.0 if share >= 0.5 else share

    def _has_number(self, value: Value) -> bool:
        number = float(value.normal)
        if number in self.numbers or (number == int(number) and int(number) in self.counts):
            return True
        if len(self.numbers) <= _FEW and number in self.made:
            return True
        places = len(value.normal.partition(".")[2])
        near = (round(n, places) for n in self.numbers if abs(n - number) <= 1)
        share = round(number / 100, 6)
        return number in near or ("%" in value.shown and share in self.numbers)


def _lengths(text: str) -> set[int]:
    """Lengths of the lists in a JSON text."""
    level: list[Any] = [json_of(text)]
    found: set[int] = set()
    for _ in range(5):
        found |= {len(one) for one in level if isinstance(one, list)}
        inner = [
            one.values() if isinstance(one, dict) else one
            for one in level
            if isinstance(one, dict | list)
        ]
        level = [value for values in inner for value in values]
    return found
