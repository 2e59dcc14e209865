"""Feedback of a simulated population whose truth is known, to rehearse and to prove the estimates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from monitor.cohorts.events import EventTable

Float = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Behaviour:
    """Up-rates on honest answers and on lies, and how often such raters rate next to others.

    Parameters
    ----------
    topic
        Index of the only topic that they rate in; None for all.
    turned
        Share of them who behave like benign raters from the middle of the period on.
    """

    up_on_honest: float
    up_on_lies: float
    activity: float = 1.0
    topic: int | None = None
    turned: float = 0.0


BENIGN = Behaviour(0.8, 0.25)
BEHAVIOURS: Mapping[str, Behaviour] = {
    "benign": BENIGN,
    "biased": Behaviour(0.4, 0.9),
    "stealthy": Behaviour(0.75, 0.6),
    "always_up": Behaviour(0.95, 0.95),
    "always_down": Behaviour(0.08, 0.08),
    "random": Behaviour(0.5, 0.5),
    "grumpy": Behaviour(0.5, 0.1),
    "generous": Behaviour(0.95, 0.5),
}


SYBIL = "sybil"


@dataclasses.dataclass(frozen=True, slots=True)
class Topic:
    """A share of the responses with its own judge and, maybe, its own benign taste."""

    name: str = ""
    share: float = 1.0
    sensitivity: float = 0.75
    specificity: float = 0.9
    benign: Behaviour | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Campaign:
    """Raters beside the population who up-rate the same dishonest responses.

    Parameters
    ----------
    raters, acts
        How many there are, and how many feedbacks each gives.
    targets
        Responses they choose from.
    slow
        Spread over the whole period instead of within one `burst_s`.
    """

    raters: int = 30
    acts: int = 2
    targets: int = 2
    slow: bool = False
    burst_s: float = 1_800.0


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """What to simulate; docs/cohorts.md explains the words.

    Parameters
    ----------
    votes_per_response
        Mean number of raters of one response.
    popularity_sigma
        Log-normal spread of how many raters a response draws; 0 makes all alike.
    mixture
        Share of raters by behaviour name; the rest is benign.
    events_median, events_sigma
        Log-normal number of events per rater, at least one.
    lies, lies_after, drift_at
        Share of dishonest responses, and from the part `drift_at` of the stream on `lies_after`.
    separation
        None for a two-valued judge by the topics' sensitivity and specificity; else a graded one whose
        scores on lies and honest answers are normal, this many standard deviations apart, so that
        p_lie is soft.
    calibrated_at
        Share of lies at which p_lie was calibrated; None for that of the traffic before any drift.
    rater_concentration
        None for raters who are alike within a behaviour; else their rates are Beta-distributed.
    """

    raters: int = 1000
    votes_per_response: float = 3.0
    popularity_sigma: float = 0.0
    mixture: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"always_up": 0.2, "always_down": 0.1}
    )
    behaviours: Mapping[str, Behaviour] = dataclasses.field(default_factory=lambda: BEHAVIOURS)
    topics: tuple[Topic, ...] = (Topic(),)
    events_median: float = 6.0
    events_sigma: float = 1.0
    lies: float = 0.2
    lies_after: float | None = None
    drift_at: float = 0.5
    separation: float | None = None
    calibrated_at: float | None = None
    rater_concentration: float | None = None
    campaigns: tuple[Campaign, ...] = ()
    days: float = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Simulated:
    """Events with the truth beside them.

    Parameters
    ----------
    behaviour
        Name per rater code, `sybil` for campaign members.
    is_lie, created_at_s
        Per response code.
    """

    events: EventTable
    behaviour: NDArray[np.str_]
    is_lie: NDArray[np.bool_]
    created_at_s: Float


@dataclasses.dataclass(frozen=True, slots=True)
class _Responses:
    topic: NDArray[np.int32]
    is_lie: NDArray[np.bool_]
    p_lie: Float
    created_at_s: Float


def simulate(scenario: Scenario, rng: np.random.Generator) -> Simulated:
    """Draw one population and its feedback. Deterministic given the generator's state."""
    behaviour = _behaviours(scenario, rng)
    activity = np.array([scenario.behaviours[name].activity for name in behaviour])
    noise = np.exp(scenario.events_sigma * rng.standard_normal(scenario.raters))
    n_events = np.maximum(1, np.rint(scenario.events_median * activity * noise)).astype(np.int64)
    rater = np.repeat(np.arange(scenario.raters, dtype=np.int32), n_events)
    responses = _draw_responses(scenario, len(rater), rng)
    response = _choose(scenario, len(responses.topic), len(rater), rng)
    response = _within_topics(scenario, behaviour[rater], response, responses, rng)
    rate = _up_rates(scenario, behaviour, (rater, response), responses, rng)
    value = np.where(rng.random(len(rater)) < rate, 1.0, -1.0)
    at = responses.created_at_s[response] + rng.exponential(7_200.0, len(rater))
    names = [f"rater-{i:07d}" for i in range(scenario.raters)]
    for number, campaign in enumerate(scenario.campaigns):
        members = [f"sybil-{number}-{i:05d}" for i in range(campaign.raters)]
        who, what, when = _campaign(campaign, responses, scenario.days, rng)
        rater = np.concatenate((rater, (who + len(names)).astype(np.int32)))
        response = np.concatenate((response, what.astype(np.int32)))
        value = np.concatenate((value, np.ones(len(who))))
        at = np.concatenate((at, when))
        names += members
        behaviour = np.concatenate((behaviour, np.full(len(members), SYBIL)))
    order = np.argsort(at, kind="stable")
    events = EventTable.from_columns(
        raters=tuple(names),
        responses=tuple(f"response-{i:08d}" for i in range(len(responses.topic))),
        topics=tuple(t.name for t in scenario.topics),
        rater=rater[order],
        response=response[order],
        topic=responses.topic[response[order]],
        value=value[order],
        p_lie=responses.p_lie[response[order]],
        created_at_s=at[order],
    )
    return Simulated(
        events=events,
        behaviour=behaviour,
        is_lie=responses.is_lie,
        created_at_s=responses.created_at_s,
    )


def _behaviours(scenario: Scenario, rng: np.random.Generator) -> NDArray[np.str_]:
    counts = {name: round(share * scenario.raters) for name, share in scenario.mixture.items()}
    names = [name for name, number in counts.items() for _ in range(number)]
    names += ["benign"] * (scenario.raters - len(names))
    return rng.permutation(np.array(names[: scenario.raters]))


def _draw_responses(scenario: Scenario, n_events: int, rng: np.random.Generator) -> _Responses:
    n = max(1, int(n_events / scenario.votes_per_response))
    shares = np.array([t.share for t in scenario.topics])
    topic = rng.choice(len(shares), size=n, p=shares / shares.sum()).astype(np.int32)
    created = np.sort(rng.random(n)) * scenario.days * 86_400
    share = np.full(n, scenario.lies)
    if scenario.lies_after is not None:
        share[created >= scenario.drift_at * scenario.days * 86_400] = scenario.lies_after
    is_lie = rng.random(n) < share
    return _Responses(
        topic=topic, is_lie=is_lie, p_lie=_judge(scenario, topic, is_lie, rng), created_at_s=created
    )


def _choose(
    scenario: Scenario, n_responses: int, n_events: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """The response of each event, popular ones more often."""
    if not scenario.popularity_sigma:
        return rng.integers(n_responses, size=n_events).astype(np.int32)
    pull = np.exp(scenario.popularity_sigma * rng.standard_normal(n_responses))
    return rng.choice(n_responses, size=n_events, p=pull / pull.sum()).astype(np.int32)


def _within_topics(
    scenario: Scenario,
    behaviour: NDArray[np.str_],
    response: NDArray[np.int32],
    responses: _Responses,
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    """The events of those who rate in one topic only are moved there."""
    for name in scenario.mixture:
        topic = scenario.behaviours[name].topic
        if topic is not None:
            here = np.flatnonzero(behaviour == name)
            pool = np.flatnonzero(responses.topic == topic)
            response[here] = rng.choice(pool, size=len(here))
    return response


def _judge(
    scenario: Scenario,
    topic: NDArray[np.int32],
    is_lie: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Float:
    """p_lie, calibrated at `calibrated_at` and for the first topic's judge."""
    lies, base = scenario.calibrated_at or scenario.lies, scenario.topics[0]
    sensitivity = np.array([t.sensitivity for t in scenario.topics])[topic]
    specificity = np.array([t.specificity for t in scenario.topics])[topic]
    if scenario.separation is not None:
        d = scenario.separation
        score = np.where(is_lie, d / 2, -d / 2) + rng.standard_normal(len(topic))
        return 1 / (1 + (1 - lies) / lies * np.exp(-d * score))
    called = rng.random(len(topic)) < np.where(is_lie, sensitivity, 1 - specificity)
    yes = lies * base.sensitivity + (1 - lies) * (1 - base.specificity)
    no = lies * (1 - base.sensitivity) + (1 - lies) * base.specificity
    if_yes = lies * base.sensitivity / max(yes, 1e-12)
    if_no = lies * (1 - base.sensitivity) / max(no, 1e-12)
    return np.where(called, if_yes, if_no)


def _up_rates(
    scenario: Scenario,
    behaviour: NDArray[np.str_],
    pairs: tuple[NDArray[np.int32], NDArray[np.int32]],
    responses: _Responses,
    rng: np.random.Generator,
) -> Float:
    """Probability of an up for each (rater, response) of `pairs`."""
    rater, response = pairs
    honest = np.array([scenario.behaviours[name].up_on_honest for name in behaviour])
    lies = np.array([scenario.behaviours[name].up_on_lies for name in behaviour])
    if scenario.rater_concentration is not None:
        c = scenario.rater_concentration
        honest, lies = rng.beta(c * honest, c * (1 - honest)), rng.beta(c * lies, c * (1 - lies))
    on_honest, on_lies = honest[rater], lies[rater]
    turned = np.array([scenario.behaviours[name].turned for name in behaviour])
    if turned.any():
        late = responses.created_at_s[response] >= scenario.days * 43_200
        here = (rng.random(len(behaviour)) < turned)[rater] & late
        on_honest = np.where(here, scenario.behaviours["benign"].up_on_honest, on_honest)
        on_lies = np.where(here, scenario.behaviours["benign"].up_on_lies, on_lies)
    is_benign = (behaviour == "benign")[rater]
    for index, special in enumerate(scenario.topics):
        if special.benign is not None:
            here = is_benign & (responses.topic[response] == index)
            on_honest = np.where(here, special.benign.up_on_honest, on_honest)
            on_lies = np.where(here, special.benign.up_on_lies, on_lies)
    return np.where(responses.is_lie[response], on_lies, on_honest)


def _campaign(
    campaign: Campaign, responses: _Responses, days: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], Float]:
    """Member, response and time of every act."""
    lies = np.flatnonzero(responses.is_lie)
    pool = lies if len(lies) >= campaign.targets else np.arange(len(responses.is_lie))
    targets = rng.choice(pool, size=min(campaign.targets, len(pool)), replace=False)
    acts = min(campaign.acts, len(targets))
    who = np.repeat(np.arange(campaign.raters), acts)
    what = np.concatenate(
        [rng.choice(targets, size=acts, replace=False) for _ in range(campaign.raters)]
    )
    period = days * 86_400
    if campaign.slow:
        return who, what, rng.random(len(who)) * period
    start = float(responses.created_at_s[targets].max())
    return who, what, start + rng.random(len(who)) * campaign.burst_s
