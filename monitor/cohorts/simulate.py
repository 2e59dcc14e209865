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
    """Up-rates on honest answers and on lies, and how often such raters rate next to others."""

    up_on_honest: float
    up_on_lies: float
    activity: float = 1.0


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


@dataclasses.dataclass(frozen=True, slots=True)
class Topic:
    """A share of the responses with its own judge and, maybe, its own benign taste."""

    name: str = ""
    share: float = 1.0
    sensitivity: float = 0.75
    specificity: float = 0.9
    benign: Behaviour | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """What to simulate; see docs/cohorts.md for the words.

    Parameters
    ----------
    raters, responses
        Counts; None for `responses` gives each about `votes_per_response` raters.
    mixture
        Share of raters by behaviour name; the rest is benign.
    events_median, events_sigma
        Log-normal number of events per rater, at least one.
    lies
        Share of dishonest responses.
    soft
        Width (logits) of noise that makes p_lie graded instead of two-valued; p_lie stays calibrated
        for the default judge.
    """

    raters: int = 1000
    votes_per_response: float = 3.0
    mixture: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"always_up": 0.2, "always_down": 0.1}
    )
    behaviours: Mapping[str, Behaviour] = dataclasses.field(default_factory=lambda: BEHAVIOURS)
    topics: tuple[Topic, ...] = (Topic(),)
    events_median: float = 6.0
    events_sigma: float = 1.0
    lies: float = 0.2
    days: float = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Simulated:
    """Events with the truth beside them: behaviour per rater code, dishonesty per response code."""

    events: EventTable
    behaviour: NDArray[np.str_]
    is_lie: NDArray[np.bool_]


def simulate(scenario: Scenario, rng: np.random.Generator) -> Simulated:
    """Draw one population and its feedback. Deterministic given the generator's state."""
    behaviour = _behaviours(scenario, rng)
    names = sorted(set(scenario.behaviours))
    code = np.searchsorted(names, behaviour)
    table = [scenario.behaviours[name] for name in names]
    activity = np.array([b.activity for b in table])[code]
    sizes = (
        scenario.events_median
        * activity
        * np.exp(scenario.events_sigma * rng.standard_normal(scenario.raters))
    )
    n_events = np.maximum(1, np.rint(sizes)).astype(np.int64)
    rater = np.repeat(np.arange(scenario.raters, dtype=np.int32), n_events)
    n_responses = max(1, int(len(rater) / scenario.votes_per_response))
    response = rng.integers(n_responses, size=len(rater)).astype(np.int32)
    shares = np.array([t.share for t in scenario.topics])
    topic = rng.choice(len(shares), size=n_responses, p=shares / shares.sum()).astype(np.int32)
    is_lie = rng.random(n_responses) < scenario.lies
    p_lie = _judge(scenario, topic, is_lie, rng)
    rate = _up_rates(scenario, table, code, rater, topic[response], is_lie[response], names)
    value = np.where(rng.random(len(rater)) < rate, 1.0, -1.0)
    created = np.sort(rng.random(len(rater))) * scenario.days * 86_400
    order = rng.permutation(len(rater))
    events = EventTable.from_columns(
        raters=tuple(f"rater-{i:07d}" for i in range(scenario.raters)),
        responses=tuple(f"response-{i:08d}" for i in range(n_responses)),
        topics=tuple(t.name for t in scenario.topics),
        rater=rater[order],
        response=response[order],
        topic=topic[response[order]],
        value=value[order],
        p_lie=p_lie[response[order]],
        created_at_s=created,
    )
    return Simulated(events=events, behaviour=behaviour, is_lie=is_lie)


def _behaviours(scenario: Scenario, rng: np.random.Generator) -> NDArray[np.str_]:
    counts = {name: round(share * scenario.raters) for name, share in scenario.mixture.items()}
    names = [name for name, number in counts.items() for _ in range(number)]
    names += ["benign"] * (scenario.raters - len(names))
    return rng.permutation(np.array(names))


def _judge(
    scenario: Scenario,
    topic: NDArray[np.int32],
    is_lie: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Float:
    """p_lie of a two-valued judge, calibrated for the first topic's sensitivity and specificity."""
    sensitivity = np.array([t.sensitivity for t in scenario.topics])[topic]
    specificity = np.array([t.specificity for t in scenario.topics])[topic]
    called = rng.random(len(topic)) < np.where(is_lie, sensitivity, 1 - specificity)
    base = scenario.topics[0]
    lies = scenario.lies
    yes = lies * base.sensitivity + (1 - lies) * (1 - base.specificity)
    no = lies * (1 - base.sensitivity) + (1 - lies) * base.specificity
    if_yes = lies * base.sensitivity / yes
    if_no = lies * (1 - base.sensitivity) / no
    return np.where(called, if_yes, if_no)


def _up_rates(
    scenario: Scenario,
    table: list[Behaviour],
    code: NDArray[np.int64],
    rater: NDArray[np.int32],
    topic: NDArray[np.int32],
    is_lie: NDArray[np.bool_],
    names: list[str],
) -> Float:
    honest = np.array([b.up_on_honest for b in table])[code][rater]
    lies = np.array([b.up_on_lies for b in table])[code][rater]
    is_benign = (code == names.index("benign"))[rater]
    for index, special in enumerate(scenario.topics):
        if special.benign is not None:
            here = is_benign & (topic == index)
            honest = np.where(here, special.benign.up_on_honest, honest)
            lies = np.where(here, special.benign.up_on_lies, lies)
    return np.where(is_lie, lies, honest)
