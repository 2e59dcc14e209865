"""The story, step by step, on a running stack: nothing here decides, it sends and looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec
import numpy as np
from sqlalchemy import Engine

from evidence import Alarm, CandorError, pseudonym
from monitor.demo.figures import AlarmFigures, CohortFigures, PhaseFigures, ProbeFigures
from monitor.demo.measure import (
    alarm_figures,
    cohort_figures,
    phase_figures,
    probe_figures,
    stratum_alarm,
)
from monitor.demo.raters import Population, Rating
from monitor.demo.traffic import (
    Producer,
    Timeline,
    feedback_record,
    response_id,
    response_record,
)
from monitor.demo.turns import DRIFTED_MODEL, HONEST_MODEL, Turn
from monitor.demo.watch import Look, canonical_log, cohort, live_verdicts, look, raters
from monitor.store.engine import reading

_LOOK_S = 0.5


class Teller(Protocol):
    """Shows the story to a person."""

    def step(self, title: str) -> None:
        """A new step begins."""
        ...

    def show(self, seen: Look, what: str, share: float) -> None:
        """How far the step is."""
        ...

    def say(self, text: str) -> None:
        """A line that stays."""
        ...


class StuckError(CandorError):
    """The stack did not get as far as it should in the time it had."""


class Traffic(msgspec.Struct, frozen=True):
    """All that was sent: turns in order, thumbs, and the names under which they went."""

    run: str
    turns: tuple[Turn, ...]
    ratings: tuple[Rating, ...]
    drift_at: int

    @property
    def by_id(self) -> dict[str, Turn]:
        return {response_id(self.run, i): turn for i, turn in enumerate(self.turns)}

    @property
    def index(self) -> dict[str, int]:
        return {response_id(self.run, i): i for i in range(len(self.turns))}


class Story:
    """Sends the traffic and waits until the store has measured it.

    Parameters
    ----------
    engine
        The stack's store.
    check
        Raises what ended a part of the stack.
    pseudonym_key
        The stack's key, with which alone the truth about a rater can be laid beside the inference.
    patience_s
        Time without any progress after which a step is stuck. How long a step takes does not matter:
        that is a matter of the machine.
    """

    def __init__(
        self,
        engine: Engine,
        producer: Producer,
        teller: Teller,
        *,
        check: Callable[[], None],
        pseudonym_key: bytes,
        patience_s: float = 600.0,
        stopwatch: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine, self._producer, self._teller = engine, producer, teller
        self._check, self._key, self._patience_s = check, pseudonym_key, patience_s
        self._stopwatch, self._sleep = stopwatch, sleep
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, step: str, title: str) -> Iterator[None]:
        """A step of the story; how long it took is kept in `seconds`."""
        self._teller.step(title)
        begun = self._stopwatch()
        try:
            yield
        finally:
            self.seconds[step] = round(self._stopwatch() - begun, 1)

    def send(self, traffic: Traffic, timeline: Timeline, chunk: int = 60) -> int:
        """Send both phases, each measured before the next begins; returns the log's length at the drift."""
        phases = (
            ("honest", "the approved assistant answers", 0, traffic.drift_at, HONEST_MODEL),
            (
                "drifted",
                "a retrained assistant takes over",
                traffic.drift_at,
                len(traffic.turns),
                DRIFTED_MODEL,
            ),
        )
        at_drift = 0
        for name, title, first, end, model in phases:
            with self.timed(name, title):
                for start in range(first, end, chunk):
                    stop = min(start + chunk, end)
                    self._send(traffic, timeline, start, stop)
                    self._measured(traffic, stop, model, backlog=chunk // 2)
                seen = self._measured(traffic, end, model, backlog=0)
            if name == "honest":
                at_drift = seen.log_length
        return at_drift

    def _send(self, traffic: Traffic, timeline: Timeline, start: int, stop: int) -> None:
        numbered = [(i, traffic.turns[i]) for i in range(start, stop)]
        self._producer.responses(
            response_record(turn, i, traffic.run, timeline) for i, turn in numbered
        )
        self._producer.feedback(
            feedback_record(r, traffic.run, timeline)
            for r in traffic.ratings
            if start <= r.turn < stop
        )

    def _measured(self, traffic: Traffic, sent: int, model: str, *, backlog: int) -> Look:
        """Wait until everything sent is in the store and at most `backlog` samples lack a verdict."""
        thumbs = sum(r.turn < sent for r in traffic.ratings)

        def done(seen: Look) -> bool:
            arrived = seen.responses >= sent and seen.feedback >= thumbs
            return arrived and seen.sampled - seen.verdicts <= backlog

        share = sent / len(traffic.turns)
        return self.wait(done, "measuring", model=model, share=lambda _seen: share)

    def wait(
        self,
        done: Callable[[Look], bool],
        what: str,
        *,
        model: str | None = None,
        share: Callable[[Look], float] = lambda _seen: 0.0,
        moved: Callable[[], object] = lambda: None,
    ) -> Look:
        """Look again and again until `done`, for as long as something moves.

        Parameters
        ----------
        moved
            Progress that the store does not show: a value that changes with it.

        Raises StuckError when nothing moved for `patience_s`, however long all of it takes.
        """
        seen, finished, progress = self._look_until(
            done, what, self._patience_s, model=model, share=share, moved=moved
        )
        if not finished:
            raise StuckError(f"{what}: no progress for {self._patience_s:.0f} s, at {progress}")
        return seen

    def _look_until(
        self,
        done: Callable[[Look], bool],
        what: str,
        patience_s: float,
        *,
        model: str | None = None,
        share: Callable[[Look], float] = lambda _seen: 1.0,
        moved: Callable[[], object] = lambda: None,
    ) -> tuple[Look, bool, object]:
        """The last look, whether it was the one, and how far things were; ends when nothing moves."""
        before: object = None
        since_s = self._stopwatch()
        while True:
            self._check()
            seen = look(self._engine, model)
            self._teller.show(seen, what, share(seen))
            known = 0 if seen.cohort is None else seen.cohort.n_events
            counts = (seen.responses, seen.feedback, seen.verdicts, seen.log_length, known)
            progress = (*counts, len(seen.alarms), moved())
            if done(seen):
                return seen, True, progress
            now_s = self._stopwatch()
            if progress != before:
                before, since_s = progress, now_s
            if now_s - since_s >= patience_s:
                return seen, False, progress
            self._sleep(_LOOK_S)

    def alarms(self, patience_s: float = 30.0) -> tuple[Alarm, ...]:
        """The alarms, after a while in which the first about the responses may still come."""
        return self.settled(lambda seen: stratum_alarm(seen.alarms) is not None, patience_s).alarms

    def estimated(self, feedback: int, patience_s: float = 120.0) -> bool:
        """Wait until the cohort estimate knows all feedback; whether it does."""

        def done(seen: Look) -> bool:
            found = seen.cohort
            return found is not None and (
                found.n_events + found.n_unmeasured + found.n_superseded >= feedback
            )

        return done(self.settled(done, patience_s))

    def settled(self, done: Callable[[Look], bool], patience_s: float) -> Look:
        """Look until `done`, or until nothing has moved for a while."""
        return self._look_until(done, "waiting", patience_s)[0]

    def watched(
        self, traffic: Traffic, at_drift: int, rng: np.random.Generator
    ) -> tuple[tuple[PhaseFigures, ...], ProbeFigures, AlarmFigures | None]:
        """What the verdicts say of each version, of the probes themselves, and when the alarm rose."""
        with reading(self._engine) as connection:
            measured, log = live_verdicts(connection), canonical_log(connection)
        turns = traffic.by_id
        phases = tuple(phase_figures(m, measured, turns) for m in (HONEST_MODEL, DRIFTED_MODEL))
        alarm = stratum_alarm(look(self._engine).alarms)
        return (
            phases,
            probe_figures(measured, turns, rng),
            alarm_figures(alarm, log, at_drift, traffic.index),
        )

    def cohort(
        self, population: Population, ratings: Sequence[Rating], alarms: Sequence[Alarm]
    ) -> CohortFigures | None:
        """What was inferred about the raters, beside the truth; None without an estimate."""
        with reading(self._engine) as connection:
            found, rows = cohort(connection), raters(connection)
        if found is None:
            return None
        number = {pseudonym(f"rater-{i:04d}", self._key): i for i in range(population.size)}
        return cohort_figures(
            found,
            population,
            ratings,
            p_biased={number[row.rater]: row.p_biased for row in rows},
            suspects={number[row.rater] for row in rows if row.status == "suspect"},
            alarms=alarms,
        )
