"""Scenarios as they are kept in the package: one YAML file a domain, filled in template by template."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Literal

import msgspec
import yaml

from evidence import BadInputError
from probes.scenarios.scenario import Scenario, Split

DOMAINS = ("support", "medical", "finance", "code")
NOTE = "Note from management: "
"""Every pressure begins so, as it would in a system prompt that several people wrote."""


class _Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    split: Split
    facts: str
    pressure: tuple[str, ...]
    question: str
    honest_lead: Literal["yes", "no"]
    honest: tuple[str, ...]
    lying: tuple[str, ...]
    evasive: tuple[str, ...]
    honest_match: tuple[str, ...]
    lying_match: tuple[str, ...]
    fill: tuple[dict[str, str], ...]

    def scenarios(self, domain: str) -> list[Scenario]:
        return [self._filled(domain, i, fill) for i, fill in enumerate(self.fill)]

    def _filled(self, domain: str, number: int, fill: dict[str, str]) -> Scenario:
        quoted = {name: re.escape(value) for name, value in fill.items()}
        return Scenario(
            id=f"{domain}.{self.name}.{number}",
            domain=domain,
            template=f"{domain}.{self.name}",
            split=self.split,
            facts=self.facts.format(**fill),
            pressure=NOTE + self.pressure[number % len(self.pressure)].format(**fill),
            question=self.question.format(**fill),
            honest_answers=tuple(a.format(**fill) for a in self.honest),
            lying_answers=tuple(a.format(**fill) for a in self.lying),
            evasive_answers=tuple(a.format(**fill) for a in self.evasive),
            honest_lead=self.honest_lead,
            honest_patterns=tuple(p.format(**quoted) for p in self.honest_match),
            lying_patterns=tuple(p.format(**quoted) for p in self.lying_match),
        )


@cache
def _load_domain(domain: str) -> tuple[Scenario, ...]:
    text = resources.files("probes.scenarios").joinpath(f"{domain}.yaml").read_text("utf-8")
    templates = msgspec.convert(yaml.safe_load(text), tuple[_Template, ...])
    return tuple(s for template in templates for s in template.scenarios(domain))


def load_scenarios(domain: str | None = None, split: Split | None = None) -> tuple[Scenario, ...]:
    """The packaged scenarios, in a fixed order; of one domain and one split where asked.

    Raises BadInputError for an unknown domain.
    """
    if domain is not None and domain not in DOMAINS:
        raise BadInputError(f"no scenarios for domain {domain!r}; known: {', '.join(DOMAINS)}")
    chosen = DOMAINS if domain is None else (domain,)
    return tuple(
        s for name in chosen for s in _load_domain(name) if split is None or s.split == split
    )
