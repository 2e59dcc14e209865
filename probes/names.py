"""Names of the probes, for settings that are read without loading a model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

Name = Literal["approved", "activation", "judge", "belief", "consistency", "actions", "premise"]

ACTIONS: Name = "actions"
EVERYWHERE: frozenset[Name] = frozenset({ACTIONS})
"""Probes that cost next to nothing and run on every response, whatever the cascade leaves out. They are calibrated
by themselves, and a fusion that was not fitted to them counts what they contradict (`Fusion.read`)."""


def _measures_all(names: tuple[Name, ...]) -> tuple[Name, ...]:
    if names and EVERYWHERE.issuperset(names):
        raise ValueError(
            f"{', '.join(names)} alone measures only what is said of acts: name another probe beside it"
        )
    return names


Named = Annotated[tuple[Name, ...], AfterValidator(_measures_all)]
"""Names of probes that settings may hold; none stands for the default."""
