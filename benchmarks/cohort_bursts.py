"""Raters who act together for no lie, and campaigns beside them: who is named?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cohort_coverage import population, separation
from benchmarks.cohort_populations import OPTIONS, draw
from monitor.cohorts.estimate import estimate
from monitor.cohorts.events import EventTable
from monitor.cohorts.simulate import BENIGN, Simulated

Acts = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
"""Member, response, value and time of each act."""

_HOUR, _DAY = 3600.0, 86_400.0
_PREFIX = "together-"
BURST_SEED = 60_000


def _choices(
    raters: int, acts: int, targets: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    who = np.repeat(np.arange(raters), acts)
    what = [rng.choice(targets, acts, replace=False) for _ in range(raters)]
    return who, np.concatenate(what)


def outage(drawn: Simulated, rng: np.random.Generator) -> Acts:
    """200 users dislike 3 of 10 shared answers within an hour."""
    who, what = _choices(200, 3, rng.choice(_rated(drawn), 10, replace=False), rng)
    return who, what, -np.ones(len(who)), 15 * _DAY + rng.random(len(who)) * _HOUR


def school(drawn: Simulated, rng: np.random.Generator) -> Acts:
    """Five classes of 25 rate 6 of 8 answers within an hour, as anybody would."""
    parts = []
    for number in range(5):
        who, what = _choices(25, 6, rng.choice(_rated(drawn), 8, replace=False), rng)
        rate = np.where(drawn.is_lie[what], BENIGN.up_on_lies, BENIGN.up_on_honest)
        value = np.where(rng.random(len(who)) < rate, 1.0, -1.0)
        at = rng.random() * 25 * _DAY + rng.random(len(who)) * _HOUR
        parts.append((who + 25 * number, what, value, at))
    who, what, value, at = (np.concatenate(column) for column in zip(*parts, strict=True))
    return who, what, value, at


def launch(drawn: Simulated, rng: np.random.Generator) -> Acts:
    """150 fans like 4 of 20 answers about a new feature within four hours."""
    who, what = _choices(150, 4, rng.choice(_rated(drawn), 20, replace=False), rng)
    value = np.where(rng.random(len(who)) < 0.95, 1.0, -1.0)
    return who, what, value, 15 * _DAY + rng.random(len(who)) * 4 * _HOUR


def sybils(raters: int, acts: int, targets: int) -> Callable[..., Acts]:
    """Raters who like lies within half an hour."""

    def made(drawn: Simulated, rng: np.random.Generator) -> Acts:
        lies = _rated(drawn)[drawn.is_lie[_rated(drawn)]]
        chosen = rng.choice(lies, targets, replace=False)
        who, what = _choices(raters, acts, chosen, rng)
        start = float(drawn.created_at_s[chosen].max())
        return who, what, np.ones(len(who)), start + rng.random(len(who)) * _HOUR / 2

    return made


def fans(drawn: Simulated, rng: np.random.Generator) -> Acts:
    """40 users like one honest answer within half an hour."""
    honest = _rated(drawn)[~drawn.is_lie[_rated(drawn)]]
    chosen = int(rng.choice(honest))
    who, what = np.arange(40), np.full(40, chosen)
    start = float(drawn.created_at_s[chosen])
    return who, what, np.ones(len(who)), start + rng.random(len(who)) * _HOUR / 2


def slowly(raters: int, acts: int, targets: int) -> Callable[..., Acts]:
    """Raters who like lies over the month."""

    def made(drawn: Simulated, rng: np.random.Generator) -> Acts:
        who, what, value, _ = sybils(raters, acts, targets)(drawn, rng)
        return who, what, value, rng.random(len(who)) * 30 * _DAY

    return made


BURSTS: dict[str, Callable[..., Acts]] = {
    "outage": outage,
    "school classes": school,
    "feature launch": launch,
    "fan club of one honest answer": fans,
    "30 sybils, 2 lies": sybils(30, 2, 2),
    "10 sybils, 2 lies": sybils(10, 2, 2),
    "40 sybils, 1 lie": sybils(40, 1, 1),
    "40 sybils, 1 lie, AUROC .98": sybils(40, 1, 1),
    "20 sybils, 8 of 12 lies, slowly": slowly(20, 8, 12),
    "30 sybils, 2 of 12 lies, slowly": slowly(30, 2, 12),
}


_AUROC = {"40 sybils, 1 lie, AUROC .98": 0.98}
"""Of the sensor, where it is not .9."""


def one_burst(name: str, seed: int, *, raters: int = 3000) -> dict[str, Any]:
    """Who is named beside so many raters, none of them biased."""
    rng = np.random.default_rng(BURST_SEED + seed)
    apart = separation(_AUROC.get(name, 0.9))
    drawn = draw(population(0.0, raters=raters, separation=apart), 50_000 + seed)
    events = with_acts(drawn.events, BURSTS[name](drawn, rng))
    found = estimate(events, options=OPTIONS)
    named = {rater for group in found.groups for rater in group.raters}
    together = {rater for rater in events.raters if rater.startswith(_PREFIX)}
    return {
        "named": len(named),
        "right": len(named & together),
        "together": len(together),
        "bursts": len(found.bursts),
    }


def with_acts(events: EventTable, acts: Acts) -> EventTable:
    """The events with these acts of new raters on responses that were rated already."""
    who, what, value, at = acts
    p_lie, topic = np.full(len(events.responses), np.nan), np.zeros(len(events.responses), np.int32)
    p_lie[events.response], topic[events.response] = events.p_lie, events.topic
    time = np.concatenate((events.created_at_s, at))
    order = np.argsort(time, kind="stable")
    members = tuple(f"{_PREFIX}{i:05d}" for i in range(int(who.max()) + 1))

    def joined(old: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate((old, new.astype(old.dtype)))[order]

    return EventTable.from_columns(
        raters=(*events.raters, *members),
        responses=events.responses,
        topics=events.topics,
        rater=joined(events.rater, who + len(events.raters)),
        response=joined(events.response, what),
        topic=joined(events.topic, topic[what]),
        value=joined(events.value, value),
        p_lie=joined(events.p_lie, p_lie[what]),
        created_at_s=time[order],
    )


def _rated(drawn: Simulated) -> NDArray[np.int64]:
    return np.unique(drawn.events.response).astype(np.int64)
