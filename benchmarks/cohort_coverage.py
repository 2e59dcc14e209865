"""Populations that are not as the model would have them, and whether the figures still cover.

Weak sensors, p_lie calibrated where half of all answers are lies, raters who differ, act in one topic, turn,
hide or are busier than others. Every function takes a seed and returns plain values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from benchmarks.cohort_populations import OPTIONS, REST, draw
from monitor.cohorts.alarm import population_alarms
from monitor.cohorts.estimate import estimate
from monitor.cohorts.results import Answer
from monitor.cohorts.simulate import BEHAVIOURS, Behaviour, Scenario, Topic

COVERAGE_SEED = 40_000


def separation(auroc: float) -> float:
    """Distance of two normal scores that are told apart this well."""
    return float(np.sqrt(2) * ndtri(auroc))


def population(share: float, biased: Behaviour = BEHAVIOURS["biased"], **other: Any) -> Scenario:
    """The reference population with this share of raters who behave like `biased`."""
    return Scenario(
        mixture={**REST, "biased": share}, behaviours={**BEHAVIOURS, "biased": biased}, **other
    )


_EIGHT = tuple(Topic(f"topic {i}", 1 / 8) for i in range(8))
_RARE: dict[str, Any] = {"separation": separation(0.78), "lies": 0.05, "calibrated_at": 0.485}
_MILD = Behaviour(0.5, 0.85)
_VARIED: dict[str, Any] = {"separation": separation(0.9), "rater_concentration": 12.0}
COVERED = {
    "nobody, calibrated at 49 %, lies 5 %": population(0.0, **_RARE),
    "10 %, AUROC .65": population(0.1, separation=separation(0.65)),
    "20 %, AUROC .7": population(0.2, separation=separation(0.7)),
    "10 %, AUROC .9": population(0.1, separation=separation(0.9)),
    "20 %, calibrated at 49 %, lies 2 %": population(0.2, **{**_RARE, "lies": 0.02}),
    "20 %, calibrated at 49 %, lies 5 %": population(0.2, **_RARE),
    "the same, 4 000 busier raters": population(0.2, raters=4000, events_median=10.0, **_RARE),
    "10 %, calibrated at 49 %, lies 5 %": population(0.1, **_RARE),
    "10 %, all raters differ": population(0.1, _MILD, **_VARIED),
    "20 %, all raters differ": population(0.2, _MILD, **_VARIED),
    "10 %, all in one topic of eight": population(
        0.1, Behaviour(0.4, 0.9, topic=0), raters=3000, topics=_EIGHT
    ),
    "10 %, half of them turn at half time": population(0.1, Behaviour(0.4, 0.9, turned=0.5)),
    "10 %, hiding (.85, .97)": population(0.1, Behaviour(0.85, 0.97)),
    "10 %, twice as active": population(0.1, Behaviour(0.4, 0.9, activity=2.0)),
}


def one_covered(name: str, seed: int) -> dict[str, Any]:
    """Share, influence and alarm of one population, each with whether its interval holds the truth."""
    drawn = draw(COVERED[name], COVERAGE_SEED + seed)
    events = drawn.events
    found = estimate(events, options=OPTIONS)
    _, alarms = population_alarms(
        None, found, scope="bench", at_s=0.0, log_position=len(events), options=OPTIONS
    )
    biased = drawn.behaviour == "biased"
    truth = float(biased.mean())
    liked, lie = events.value > 0, drawn.is_lie[events.response]
    kept = liked & ~biased[events.rater]
    lies, without = float(lie[liked].mean()), float(lie[kept].mean())
    share, influence = found.biased_fraction, found.influence.sft_lie_share
    raised = [alarm.details for alarm in alarms if alarm.metric == "biased_raters"]
    return {
        "truth": truth,
        "estimate": share.estimate,
        "width": share.upper - share.lower,
        "covers": share.lower <= truth <= share.upper,
        "refused": found.answer is not Answer.SAID,
        "false_alarm": bool(alarms) and truth <= OPTIONS.limit,
        "alarm_covers": [one["lower"] <= truth <= one["upper"] for one in raised],
        "lies_covered": influence.with_cohort.lower <= lies <= influence.with_cohort.upper,
        "difference_covered": (
            influence.difference.lower <= lies - without <= influence.difference.upper
        ),
    }
