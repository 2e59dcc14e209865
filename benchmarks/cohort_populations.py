"""Simulated populations of raters, and what one simulation of each yields.

All random numbers are seeded, and every function takes a seed and returns plain values, so that a run can
be cut into pieces.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from benchmarks.cohort_peers import auroc, crowd_kit, oracle, plain_gap
from monitor.cohorts.alarm import population_alarms
from monitor.cohorts.coordination import find_groups
from monitor.cohorts.estimate import estimate
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.results import CohortEstimate, RaterStatus
from monitor.cohorts.simulate import (
    BEHAVIOURS,
    Behaviour,
    Campaign,
    Scenario,
    Simulated,
    Topic,
    simulate,
)

OPTIONS = CohortOptions()
REST = {"always_up": 0.2, "always_down": 0.1}
FAILS = (Topic("good", 0.85), Topic("fails", 0.15, specificity=0.5))
DISAGREE = (Topic("good", 0.85), Topic("odd", 0.15, benign=Behaviour(0.25, 0.8)))
MANY = {**REST, "grumpy": 0.2, "random": 0.1, "generous": 0.1}
BUSY = {**BEHAVIOURS, "biased": Behaviour(0.4, 0.9, activity=3.0)}


def with_biased(share: float, *, raters: int = 1000, **other: Any) -> Scenario:
    """The reference population with this share of biased raters."""
    return Scenario(raters=raters, mixture={**REST, "biased": share}, **other)


POPULATIONS = {
    "nobody biased": with_biased(0.0),
    "nobody, judge fails in a topic": with_biased(0.0, topics=FAILS),
    "nobody, raters disagree in a topic": with_biased(0.0, topics=DISAGREE),
    "nobody, one rater a response": with_biased(0.0, votes_per_response=1.0),
    "nobody, mixed and varied raters": Scenario(mixture=MANY, rater_concentration=12.0),
    "2 % biased": with_biased(0.02),
    "5 % biased": with_biased(0.05),
    "10 % biased": with_biased(0.10),
    "20 % biased": with_biased(0.20),
    "10 %, one rater a response": with_biased(0.10, votes_per_response=1.0),
    "10 %, judge fails in a topic": with_biased(0.10, topics=FAILS),
    "10 %, raters disagree in a topic": with_biased(0.10, topics=DISAGREE),
    "10 %, they rate three times as often": with_biased(0.10, behaviours=BUSY),
    "10 %, soft judge": with_biased(0.10, separation=1.5),
    "10 % stealthy (.75, .6)": Scenario(mixture={**REST, "stealthy": 0.10}),
}
WATCHED = {
    "nobody biased": with_biased(0.0, raters=2500),
    "nobody, judge fails in a topic": with_biased(0.0, raters=2500, topics=FAILS),
    "nobody, raters disagree in a topic": with_biased(0.0, raters=2500, topics=DISAGREE),
    "2 % biased": with_biased(0.02, raters=2500),
    "5 % biased (at the limit)": with_biased(0.05, raters=2500),
    "10 % biased": with_biased(0.10, raters=2500),
    "10 %, judge fails in a topic": with_biased(0.10, raters=2500, topics=FAILS),
    "20 % biased": with_biased(0.20, raters=2500),
}
NULLS = frozenset(
    {"nobody biased", "nobody, judge fails in a topic", "nobody, raters disagree in a topic"}
)
CAMPAIGNS: dict[str, tuple[Campaign, ...]] = {
    "30 sybils, 2 feedbacks, 2 targets": (Campaign(30, 2, 2),),
    "30 sybils, 2 feedbacks, 4 targets": (Campaign(30, 2, 4),),
    "20 sybils, 8 of 12 targets, over the month": (Campaign(20, 8, 12, slow=True),),
    "none, popular bursts": (),
}
_LOOKS = (5_000, 15_000, 25_000)


def draw(scenario: Scenario, seed: int) -> Simulated:
    return simulate(scenario, np.random.default_rng(seed))


def one_population(name: str, seed: int) -> dict[str, Any]:
    """Estimate, interval, alarms at a single look, and suspects of one population."""
    drawn = draw(POPULATIONS[name], 10_000 + seed)
    found = estimate(drawn.events, options=OPTIONS)
    kind = dict(zip(drawn.events.raters, drawn.behaviour.tolist(), strict=True))
    listed = [kind[r.rater] for r in found.raters if r.status is RaterStatus.SUSPECT]
    return {
        "truth": float((drawn.behaviour == "biased").mean()),
        **_share(found),
        "alarms": _raised(found),
        "fits": found.fit.ok,
        "listed": len(listed),
        "false": sum(k != "biased" for k in listed),
    }


def one_watch(name: str, seed: int) -> dict[str, Any]:
    """Alarms ever opened at looks after 5 000, 15 000 and 25 000 events, and the last estimate."""
    drawn = draw(WATCHED[name], 20_000 + seed)
    events = drawn.events
    state, opened = None, {}
    for cut in _LOOKS:
        seen = min(cut, len(events))
        found = estimate(events.select(np.arange(seen)), options=OPTIONS)
        state, alarms = population_alarms(
            state, found, scope="bench", at_s=0.0, log_position=seen, options=OPTIONS
        )
        opened.update({alarm.metric: seen for alarm in alarms})
    truth = float((drawn.behaviour == "biased").mean())
    return {"truth": truth, **_share(found), "opened": opened}


def one_ranking(_name: str, seed: int) -> dict[str, Any]:
    """AUROC of single raters, all of them and those with ten events or more, by estimator."""
    scenario = POPULATIONS["10 % biased"]
    drawn = draw(scenario, 30_000 + seed)
    events, biased = drawn.events, drawn.behaviour == "biased"
    heavy = np.bincount(events.rater, minlength=len(events.raters)) >= 10
    found = estimate(events, options=OPTIONS)
    scores = {
        "Candor": np.array([r.p_biased for r in found.raters]),
        "knows all behaviours": oracle(events, scenario.mixture, scenario.behaviours),
        "plain gap": plain_gap(events),
        **(crowd_kit(events) or {}),
    }
    return {
        name: [auroc(score, biased), auroc(score[heavy], biased[heavy])]
        for name, score in scores.items()
    }


def one_campaign(name: str, seed: int) -> dict[str, Any]:
    """Groups found, and precision and recall of the raters named in them."""
    base = with_biased(0.10, raters=5000, campaigns=CAMPAIGNS[name], votes_per_response=6.0)
    drawn = draw(dataclasses.replace(base, popularity_sigma=2.0), 40_000 + seed)
    found = find_groups(
        drawn.events,
        min_group=OPTIONS.min_group,
        burst_s=OPTIONS.burst_s,
        error=OPTIONS.group_error,
    )
    named = {rater for group in found for rater in group.raters}
    pairs = zip(drawn.events.raters, drawn.behaviour, strict=True)
    sybils = {rater for rater, kind in pairs if kind == "sybil"}
    return {"groups": len(found), "named": len(named), "right": len(named & sybils)} | {
        "sybils": len(sybils)
    }


def _share(found: CohortEstimate) -> dict[str, Any]:
    share = found.biased_fraction
    return {"estimate": share.estimate, "lower": share.lower, "upper": share.upper}


def _raised(found: CohortEstimate) -> list[str]:
    _, alarms = population_alarms(
        None, found, scope="bench", at_s=0.0, log_position=found.n_events, options=OPTIONS
    )
    return [alarm.metric for alarm in alarms]
