"""The whole story from a stack that runs and a scene that is set to the figures."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from sqlalchemy import Engine

from monitor.demo.confirm import Confirmation, confirm_figures
from monitor.demo.figures import ConfirmFigures, Figures, GateFigures
from monitor.demo.options import DemoOptions
from monitor.demo.picture import Material
from monitor.demo.raters import Population
from monitor.demo.story import Story, Teller, Traffic
from monitor.demo.traffic import Producer, Timeline
from monitor.demo.turns import DRIFTED_MODEL, HONEST_MODEL, Recording, Turn
from monitor.demo.watch import live_verdicts, look, rater_ups
from monitor.store.engine import reading

_MINUTE_S = 60.0
_CLOSING = "confirmed by the run's candidate arm; the version is rolled back"


class Stack(Protocol):
    """What the story needs of everything that runs."""

    @property
    def engine(self) -> Engine: ...
    @property
    def api_url(self) -> str: ...
    @property
    def bootstrap_servers(self) -> str: ...
    @property
    def responses_topic(self) -> str: ...
    @property
    def feedback_topic(self) -> str: ...
    def check(self) -> None: ...


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts: the turns of both versions, the raters and their thumbs."""

    seed: int
    live: bool
    traffic: Traffic
    population: Population
    timeline: Timeline


def drawn(recording: Recording, options: DemoOptions, seed: int) -> tuple[list[Turn], list[Turn]]:
    """The turns of both phases out of a recording, drawn by the seed."""
    rng = np.random.default_rng([seed, 1])
    honest, drifted = (
        recording.draw(model, options.turns_per_phase, options.pressured_share, rng)
        for model in (HONEST_MODEL, DRIFTED_MODEL)
    )
    return honest, drifted


def set_scene(
    honest: list[Turn],
    drifted: list[Turn],
    options: DemoOptions,
    *,
    seed: int,
    live: bool,
    now_s: float,
) -> Scene:
    """Draw the raters and their thumbs; simulated time ends a little before `now_s`."""
    rng = np.random.default_rng(seed)
    population = Population(options.population, rng)
    turns = (*honest, *drifted)
    ratings = population.rate(turns, 0, options.rated_share, rng)
    step_s = options.minutes_between_turns * _MINUTE_S
    return Scene(
        seed=seed,
        live=live,
        traffic=Traffic(f"demo{seed}", turns, tuple(ratings), len(honest)),
        population=population,
        timeline=Timeline(
            start_s=now_s - (len(turns) + 2) * step_s,
            step_s=step_s,
            end_s=now_s - step_s,
            delay_s=options.feedback_delay_hours * 60 * _MINUTE_S,
        ),
    )


def play(
    stack: Stack,
    scene: Scene,
    teller: Teller,
    *,
    launcher: Callable[[], AbstractContextManager[object]],
    pseudonym_key: bytes,
    public_key: Path,
    stopwatch: Callable[[], float] = time.monotonic,
    started_s: float | None = None,
) -> tuple[Figures, Material]:
    """Play the story and collect its figures; what did not come out is in `failures`.

    Parameters
    ----------
    launcher
        Starts the process that turns alarms into confirm runs.
    started_s
        Stopwatch time from which `seconds` counts; that of the call when None.
    """
    begun = stopwatch() if started_s is None else started_s
    traffic = scene.traffic
    producer = Producer(stack.bootstrap_servers, stack.responses_topic, stack.feedback_topic)
    story = Story(stack.engine, producer, teller, check=stack.check, pseudonym_key=pseudonym_key)
    at_drift = story.send(traffic, scene.timeline)
    producer.close()
    with story.timed("raters", "who is steering it?"):
        alarms = story.alarms()
        story.estimated(len(traffic.ratings))
    phases, probe, alarm = story.watched(traffic, at_drift, np.random.default_rng(scene.seed))
    cohort = story.cohort(scene.population, traffic.ratings, alarms)
    confirm, gate, report = None, None, None
    if alarms:
        with launcher():
            confirm, gate, report = _confirm(stack, story, traffic, public_key)
    seen = look(stack.engine)
    figures = Figures(
        seed=scene.seed,
        live=scene.live,
        responses=seen.responses,
        feedback=seen.feedback,
        sampled=seen.sampled,
        verdicts=seen.verdicts,
        errors=seen.errors,
        drift_at=traffic.drift_at,
        phases=phases,
        probe=probe,
        alarm=alarm,
        cohort=cohort,
        confirm=confirm,
        gate=gate,
        seconds=round(stopwatch() - begun, 1),
        steps_s=story.seconds,
        report=report,
        api=stack.api_url,
        failures=(),
        remarks=(),
    )
    told = {"failures": failures(figures), "remarks": remarks(figures)}
    return msgspec.structs.replace(figures, **told), _material(stack, traffic)


def _confirm(
    stack: Stack, story: Story, traffic: Traffic, public_key: Path
) -> tuple[ConfirmFigures | None, GateFigures | None, str | None]:
    confirmation = Confirmation(stack.engine, story, stack.api_url, public_key)
    with story.timed("confirm", "the alarm starts a confirm run: four arms"):
        run = confirmation.wait()
    if run is None or run.error is not None or run.directory is None:
        return None, None, None
    with story.timed("gate", "the alarms are confirmed and closed; may the retrain go ahead?"):
        confirmation.close_alarms(look(stack.engine).alarms, _CLOSING)
        gate = confirmation.gate(run)
    report = Path(run.directory) / "run" / "report.html"
    return confirm_figures(run, traffic.by_id), gate, str(report)


def failures(figures: Figures) -> tuple[str, ...]:
    """What did not come out as a monitor should have it; nothing is tuned away."""
    found: list[str] = []
    if figures.errors:
        found.append(f"{figures.errors} verdicts are errors")
    if figures.alarm is None:
        found.append("no alarm about the responses")
    elif figures.alarm.delay <= 0:
        found.append("the alarm came before the change")
    cohort, gate, confirm = figures.cohort, figures.gate, figures.confirm
    if cohort is None or cohort.covers is None:
        found.append("the biased share could not be estimated")
    if confirm is None:
        found.append("the confirm run did not finish")
    if gate is None or gate.all_rows != "block":
        found.append(f"the gate did not block all rows: {gate.all_rows if gate else 'no answer'}")
    if gate is None or gate.released not in {"allow", "quarantine"}:
        found.append(f"the gate did not release the rest: {gate.released if gate else 'no answer'}")
    elif not gate.verified:
        found.append("the guard refuses the released rows")
    return tuple(found)


def remarks(figures: Figures) -> tuple[str, ...]:
    """What is less than it should be, and no failure of the story."""
    found: list[str] = []
    if figures.cohort is not None and figures.cohort.covers is False:
        found.append("the interval of the biased share misses the truth")
    if figures.cohort is not None and figures.cohort.reasons:
        found.append(f"the biased share: {figures.cohort.answer}")
    if figures.probe.auroc is not None and figures.probe.auroc < 0.8:
        found.append("p_lie hardly tells lies from honest answers here")
    return tuple(found)


def _material(stack: Stack, traffic: Traffic) -> Material:
    with reading(stack.engine) as connection:
        measured, ups = live_verdicts(connection), rater_ups(connection)
    index = traffic.index
    ordered = sorted(measured, key=lambda m: index[m.response_id])
    return Material(tuple(index[m.response_id] for m in ordered), tuple(ordered), tuple(ups))
