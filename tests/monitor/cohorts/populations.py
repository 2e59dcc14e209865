"""Populations that several tests draw."""

from __future__ import annotations

from monitor.cohorts.simulate import Behaviour, Scenario, Topic

INDIFFERENT = {"always_up": 0.2, "always_down": 0.1}


def population(biased: float = 0.0, **other: object) -> Scenario:
    """The reference population with this share of biased raters."""
    mixture = {**INDIFFERENT, "biased": biased}
    return Scenario(**{"mixture": mixture, **other})  # type: ignore[arg-type]


JUDGE_FAILS = (Topic("good", 0.85), Topic("bad", 0.15, specificity=0.5))
RATERS_DISAGREE = (Topic("good", 0.85), Topic("odd", 0.15, benign=Behaviour(0.25, 0.8)))
