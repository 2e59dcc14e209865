"""Figures of the cohort estimates beside their peers.

    python -m benchmarks.cohorts [--json FILE] [--quick]

All random numbers are seeded. Reference population: 20 % of the rated responses dishonest, judged with
sensitivity .75 and specificity .9; events per rater log-normal, median 6, sigma 1; 20 % of the raters
always up (.95), 10 % always down (.08), benign ones up with .8 on honest answers and .25 on lies, biased
ones with .4 and .9; a response has three raters on average. Nothing of this is told to the estimator.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.cohort_peers import auroc, crowd_kit, oracle, plain_gap
from monitor.cohorts import (
    CohortEstimate,
    CohortOptions,
    EventTable,
    RatedEvent,
    RaterStatus,
    Standing,
    estimate,
    population_alarms,
)
from monitor.cohorts.coordination import find_groups
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


def scenarios() -> dict[str, Scenario]:
    """Populations of 1 000 raters by name."""

    def with_biased(share: float, **other: Any) -> Scenario:
        return Scenario(raters=1000, mixture={**REST, "biased": share}, **other)

    return {
        "nobody biased": with_biased(0.0),
        "nobody, judge fails in a topic": with_biased(0.0, topics=FAILS),
        "nobody, raters disagree in a topic": with_biased(0.0, topics=DISAGREE),
        "nobody, one rater a response": with_biased(0.0, votes_per_response=1.0),
        "nobody, mixed and varied raters": Scenario(
            raters=1000, mixture=MANY, rater_concentration=12.0
        ),
        "2 % biased": with_biased(0.02),
        "5 % biased": with_biased(0.05),
        "10 % biased": with_biased(0.10),
        "20 % biased": with_biased(0.20),
        "10 %, one rater a response": with_biased(0.10, votes_per_response=1.0),
        "10 %, judge fails in a topic": with_biased(0.10, topics=FAILS),
        "10 %, raters disagree in a topic": with_biased(0.10, topics=DISAGREE),
        "10 %, they rate three times as often": with_biased(0.10, behaviours=BUSY),
        "10 %, soft judge": with_biased(0.10, separation=1.5),
        "10 % stealthy (.75, .6)": Scenario(raters=1000, mixture={**REST, "stealthy": 0.10}),
    }


def raised(found: CohortEstimate) -> list[str]:
    """Metrics that alarm at a single look."""
    _, alarms = population_alarms(
        None, found, scope="bench", at_s=0.0, log_position=found.n_events, options=OPTIONS
    )
    return [alarm.metric for alarm in alarms]


def draw(scenario: Scenario, seed: int) -> Simulated:
    return simulate(scenario, np.random.default_rng(seed))


def of_population(runs: int) -> Iterator[dict[str, Any]]:
    """Error, coverage, upper limit, alarms and suspects by population."""
    for name, scenario in scenarios().items():
        rows = [_one(scenario, seed) for seed in _steps(range(runs), name)]
        truth = rows[0]["truth"]
        listed = sum(r["listed"] for r in rows)
        yield {
            "population": name,
            "runs": runs,
            "truth": truth,
            "mean": float(np.mean([r["estimate"] for r in rows])),
            "mean_absolute_error": float(np.mean([abs(r["estimate"] - r["truth"]) for r in rows])),
            "coverage": float(np.mean([r["lower"] <= r["truth"] <= r["upper"] for r in rows])),
            "upper_below_limit": float(np.mean([r["upper"] < OPTIONS.limit for r in rows])),
            "alarms": float(np.mean([bool(r["alarms"]) for r in rows])),
            "suspects": listed / runs,
            "false_share": sum(r["false"] for r in rows) / listed if listed else None,
        }


def _one(scenario: Scenario, seed: int) -> dict[str, Any]:
    drawn = draw(scenario, 10_000 + seed)
    found = estimate(drawn.events, options=OPTIONS)
    kind = dict(zip(drawn.events.raters, drawn.behaviour.tolist(), strict=True))
    listed = [kind[r.rater] for r in found.raters if r.status is RaterStatus.SUSPECT]
    share = found.biased_fraction
    return {
        "truth": float((drawn.behaviour == "biased").mean()),
        "estimate": share.estimate,
        "lower": share.lower,
        "upper": share.upper,
        "alarms": raised(found),
        "listed": len(listed),
        "false": sum(k != "biased" for k in listed),
    }


def of_alarm(runs: int) -> Iterator[dict[str, Any]]:
    """Alarms ever raised at looks every 5 000 events, up to 25 000 events of 2 500 raters."""
    populations = {
        "nobody biased": Scenario(raters=2500, mixture=REST),
        "nobody, judge fails in a topic": Scenario(raters=2500, mixture=REST, topics=FAILS),
        "nobody, raters disagree in a topic": Scenario(raters=2500, mixture=REST, topics=DISAGREE),
        "5 % biased (at the limit)": Scenario(raters=2500, mixture={**REST, "biased": 0.05}),
        "10 % biased": Scenario(raters=2500, mixture={**REST, "biased": 0.10}),
        "10 %, judge fails in a topic": Scenario(
            raters=2500, mixture={**REST, "biased": 0.10}, topics=FAILS
        ),
    }
    for name, scenario in populations.items():
        opened = [_looks(scenario, seed) for seed in _steps(range(runs), name)]
        delays = [min(o.values()) for o in opened if o]
        yield {
            "population": name,
            "runs": runs,
            "alarm": len(delays) / runs,
            "by_raters": float(np.mean(["biased_raters" in o for o in opened])),
            "by_weight": float(np.mean(["biased_weight" in o for o in opened])),
            "median_events": float(np.median(delays)) if delays else None,
        }


def _looks(scenario: Scenario, seed: int) -> dict[str, int]:
    events = draw(scenario, 20_000 + seed).events
    state, opened = None, {}
    for cut in range(5_000, 25_001, 5_000):
        seen = min(cut, len(events))
        found = estimate(events.select(np.arange(seen)), options=OPTIONS)
        state, alarms = population_alarms(
            state, found, scope="bench", at_s=0.0, log_position=seen, options=OPTIONS
        )
        opened.update({alarm.metric: seen for alarm in alarms})
    return opened


def of_raters(runs: int) -> Iterator[dict[str, Any]]:
    """AUROC of single raters, all of them and those with ten events or more."""
    scenario = Scenario(raters=1000, mixture={**REST, "biased": 0.10})
    areas: dict[str, list[tuple[float, float]]] = {}
    for seed in _steps(range(runs), "raters"):
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
        for name, score in scores.items():
            both = (auroc(score, biased), auroc(score[heavy], biased[heavy]))
            areas.setdefault(name, []).append(both)
    for name in ("Dawid–Skene", "MACE", "GLAD"):
        areas.setdefault(name, [])
    for name, both in areas.items():
        yield {
            "estimator": name,
            "runs": len(both),
            "auroc": float(np.mean([a for a, _ in both])) if both else "skipped",
            "auroc_10_events": float(np.mean([b for _, b in both])) if both else "skipped",
        }


def of_groups(runs: int) -> Iterator[dict[str, Any]]:
    """Sybils found as a group among 5 000 raters, and groups in clean popular bursts."""
    campaigns: dict[str, tuple[Campaign, ...]] = {
        "30 sybils, 2 feedbacks, 2 targets": (Campaign(30, 2, 2),),
        "30 sybils, 2 feedbacks, 4 targets": (Campaign(30, 2, 4),),
        "20 sybils, 8 of 12 targets, over the month": (Campaign(20, 8, 12, slow=True),),
        "none, popular bursts": (),
    }
    for name, campaign in campaigns.items():
        precision, recall, groups = [], [], 0
        for seed in _steps(range(runs), name):
            drawn = draw(_crowded(campaign), 40_000 + seed)
            found = find_groups(
                drawn.events,
                min_group=OPTIONS.min_group,
                burst_s=OPTIONS.burst_s,
                error=OPTIONS.group_error,
            )
            groups += len(found)
            named = {r for group in found for r in group.raters}
            pairs = zip(drawn.events.raters, drawn.behaviour, strict=True)
            sybils = {r for r, kind in pairs if kind == "sybil"}
            if sybils:
                precision.append(len(named & sybils) / max(len(named), 1))
                recall.append(len(named & sybils) / len(sybils))
        yield {
            "campaign": name,
            "runs": runs,
            "groups": groups / runs,
            "precision": float(np.mean(precision)) if precision else None,
            "recall": float(np.mean(recall)) if recall else None,
        }


def _crowded(campaigns: tuple[Campaign, ...]) -> Scenario:
    base = Scenario(raters=5000, mixture={**REST, "biased": 0.10}, campaigns=campaigns)
    return dataclasses.replace(base, popularity_sigma=2.0, votes_per_response=6.0)


def of_scale(raters: int) -> Iterator[dict[str, Any]]:
    """Seconds and peak memory of an estimate, and of a refresh, in a process of their own."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "events.npz")
        for work in (_save_events, _time_estimate, _time_refresh):
            receive, send = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(path, raters, send))
            process.start()
            send.close()
            found = receive.recv()
            process.join()
            if found:
                yield {"raters": raters, **found}


def _save_events(path: str, raters: int, send: Connection) -> None:
    events = draw(Scenario(raters=raters, mixture={**REST, "biased": 0.10}), 0).events
    names = ("rater", "response", "topic", "value", "p_lie", "created_at_s")
    np.savez(path, n=len(events.responses), **{name: getattr(events, name) for name in names})
    send.send(None)


def _load_events(path: str, raters: int) -> EventTable:
    with np.load(path) as columns:
        return EventTable(
            raters=tuple(f"rater-{i:07d}" for i in range(raters)),
            responses=tuple(f"response-{i:08d}" for i in range(int(columns["n"]))),
            topics=("",),
            **{name: columns[name] for name in columns if name != "n"},
        )


def _time_estimate(path: str, raters: int, send: Connection) -> None:
    events = _load_events(path, raters)
    start = time.perf_counter()
    found = estimate(events, options=OPTIONS)
    seconds = time.perf_counter() - start
    send.send(_cost("estimate", found.n_events, seconds, found.biased_fraction.estimate))


def _time_refresh(path: str, raters: int, send: Connection) -> None:
    events = _load_events(path, raters)
    new = [
        RatedEvent(
            feedback_id=f"f{i}",
            rater=events.raters[events.rater[i]],
            response_id=events.responses[events.response[i]],
            value=float(events.value[i]),
            p_lie=float(events.p_lie[i]),
            created_at_s=float(events.created_at_s[i]),
        )
        for i in range(len(events) - 10_000, len(events))
    ]
    standing = Standing(events.select(np.arange(len(events) - 10_000)), options=OPTIONS)
    start = time.perf_counter()
    found = standing.refresh(new)
    seconds = time.perf_counter() - start
    send.send(_cost("refresh by 10 000 events", 10_000, seconds, found.biased_fraction.estimate))


def _cost(what: str, events: int, seconds: float, share: float | None) -> dict[str, Any]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"what": what, "events": events, "seconds": seconds, "peak_gib": peak, "share": share}


def _steps(runs: range, name: str) -> Iterable[int]:
    return track(runs, name, console=Console(stderr=True), transient=True)


def show(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(*(column.replace("_", " ") for column in rows[0]), title=title)
    for row in rows:
        cells = (
            f"{v:.3f}" if isinstance(v, float) else "–" if v is None else str(v)
            for v in row.values()
        )
        table.add_row(*cells)
    Console(width=160).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--quick", action="store_true", help="few runs, a tenth of the scale")
    given = parser.parse_args()
    few = given.quick
    sections = {
        "scale": lambda: of_scale(100_000 if few else 1_000_000),
        "population": lambda: of_population(4 if few else 300),
        "alarm": lambda: of_alarm(2 if few else 100),
        "raters": lambda: of_raters(1 if few else 10),
        "groups": lambda: of_groups(2 if few else 20),
    }
    figures: dict[str, list[dict[str, Any]]] = {}
    for name, section in sections.items():
        figures[name] = list(section())
        show(name, figures[name])
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
