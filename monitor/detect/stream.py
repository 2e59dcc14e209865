"""One metric under one evaluator: learn a reference, then run its detectors and remember the tail."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from evidence.change_point import Block, push
from evidence.e_detector import EDetector
from evidence.rank_detector import Past, RankDetector, tie_of
from evidence.records import LoggedVerdict
from evidence.start_weighted import StartWeighted
from monitor.detect.hours import days_of, hours_of
from monitor.detect.options import DetectionOptions
from monitor.detect.records import RANKED, Reference, StreamState, Tally, Telling
from monitor.detect.reference import reference_of

TELLING_KEPT = 40
MODELS_KEPT = 8
TRACE_KEPT = 48
_TRACE_STEP = 0.25  # nats between two points of the trace


class Evidence(NamedTuple):
    """What one detector of a stream has gathered; `by` is `mean` or `ranks`. Natural logarithms."""

    by: str
    n: int
    log_evidence: float
    log_threshold: float
    average_run_length: float


class Stream:
    """A `StreamState` being advanced; `state()` gives the value back.

    Where ranks are bet on, the mean and the ranks have twice `average_run_length` each, so that their
    alarms together keep it.
    """

    def __init__(self, state: StreamState, average_run_length: float, tolerance: float) -> None:
        self.metric = state.metric
        self.evaluator_version = state.evaluator_version
        self.average_run_length, self.tolerance = average_run_length, tolerance
        self.reference = state.reference
        self.window = list(state.window)
        self.detector = EDetector.restore(state.detector) if state.detector else None
        self.joint = StartWeighted.restore(state.joint) if state.joint else None
        self.blocks: list[Block] = list(state.blocks)
        self.telling = list(state.telling)
        self.models = dict(state.models)
        self.after_alarm = state.after_alarm
        self.ranked, self.hours = state.ranked, state.hours
        self.ranks = RankDetector.restore(state.ranks) if state.ranks else None
        if self.ranks is None and self.metric in RANKED:
            self.ranks = RankDetector(2.0 * average_run_length)
        self.trace = list(state.trace)

    def state(self) -> StreamState:
        return StreamState(
            metric=self.metric,
            evaluator_version=self.evaluator_version,
            reference=self.reference,
            window=tuple(self.window),
            detector=self.detector.state() if self.detector else None,
            joint=self.joint.state() if self.joint else None,
            blocks=tuple(self.blocks),
            telling=tuple(self.telling),
            models=self.models,
            after_alarm=self.after_alarm,
            ranks=self.ranks.state() if self.ranks else None,
            ranked=self.ranked,
            hours=self.hours,
            trace=tuple(self.trace),
        )

    def set_reference(self, reference: Reference, past: Past | None = None) -> None:
        """Compare with `reference` from now on; evidence against the old one is dropped.

        With the `past` that the reference was taken from, later scores are ranked among it.
        """
        self.reference = reference
        self.window.clear()
        self.ranked = past is not None and self.metric in RANKED
        self.hours = _known_hours(past) if self.ranked and past else ()
        run_length = self.average_run_length * (2.0 if self.ranked else 1.0)
        bound = reference.value + self.tolerance
        watched = 0.0 < bound < 1.0
        self.detector = EDetector(reference.value, run_length, self.tolerance) if watched else None
        self.joint = StartWeighted(bound, horizon=run_length) if watched else None
        if self.metric in RANKED:
            self.ranks = RankDetector(2.0 * self.average_run_length, past)
        self.forget()

    def forget(self) -> None:
        """Start anew against the same reference."""
        if self.detector:
            self.detector.reset()
        if self.joint:
            self.joint.reset()
        if self.ranks:
            self.ranks.restart()
        self.blocks.clear()
        self.telling.clear()
        self.models.clear()
        self.trace.clear()
        self.after_alarm = None

    @property
    def alarm(self) -> bool:
        by_mean = self.detector is not None and self.detector.alarm
        return by_mean or (self.ranked and self.ranks is not None and self.ranks.alarm)

    def evidence(self) -> Evidence | None:
        """That of the detector which is nearest to its limit; None where none runs."""
        found = []
        if self.detector is not None:
            one = self.detector
            found.append(
                Evidence("mean", one.n, one.log_evidence, one.log_threshold, one.average_run_length)
            )
        if self.ranked and self.ranks is not None:
            ranks = self.ranks
            found.append(
                Evidence(
                    "ranks",
                    ranks.n,
                    ranks.log_evidence,
                    ranks.log_threshold,
                    ranks.average_run_length,
                )
            )
        return max(found, key=lambda e: e.log_evidence - e.log_threshold, default=None)

    def log_e_value(self) -> float | None:
        """The mean of the e-values of all detectors that run, as a natural logarithm."""
        found = [self.joint.log_evidence] if self.joint is not None else []
        if self.ranked and self.ranks is not None:
            found.append(self.ranks.log_e_value)
        return float(np.logaddexp.reduce(found)) - math.log(len(found)) if found else None

    def take(self, entry: LoggedVerdict, score: float, options: DetectionOptions) -> bool:
        """Advance by one score and return whether a detector stands in alarm."""
        push(self.blocks, entry.log_position, entry.scored_at_s, score)
        cell = hours_of(entry, options)
        if self.reference is None:
            self._learn(entry, score, cell, options)
            return False
        self._remember(entry, score)
        before = self.alarm
        # A mean of weekdays says nothing of weekends; there the ranks watch alone.
        if not self.hours or days_of(cell) in {days_of(known) for known in self.hours}:
            self._compare(score)
        self._rank(entry, score, cell)
        if before:
            self.after_alarm = _add(self.after_alarm, score, entry.log_position)
        elif self.alarm and self.ranks is not None:
            self.ranks.hold()
        return self.alarm

    def _compare(self, score: float) -> None:
        if self.detector is not None:
            self.detector.update(score)
        if self.joint is not None:
            self.joint.update(score)

    def _rank(self, entry: LoggedVerdict, score: float, cell: str) -> None:
        if self.ranks is None:
            return
        if not self.ranked:
            self.ranks.learn(score, cell)
            return
        name = f"{entry.stratum}|{self.metric}|{entry.log_position}"
        self.ranks.update(score, cell=cell, tie=tie_of(name))
        now = self.ranks.log_evidence
        if not self.trace or abs(now - self.trace[-1][1]) >= _TRACE_STEP:
            self.trace.append((self.ranks.n, now))
            del self.trace[:-TRACE_KEPT]

    def _learn(
        self, entry: LoggedVerdict, score: float, cell: str, options: DetectionOptions
    ) -> None:
        self.window.append(score)
        if self.ranks is not None:
            self.ranks.learn(score, cell)
        if len(self.window) < options.reference_window:
            return
        blocks, at = list(self.blocks), entry.log_position
        learned = reference_of(self.window, source="learned", log_position=at, options=options)
        self.set_reference(learned, self.ranks.past if self.ranks else None)
        # The window stays in the history: it is the "before" that a change point is judged by.
        self.blocks = blocks

    def _remember(self, entry: LoggedVerdict, score: float) -> None:
        tally = _add(self.models.pop(entry.model, None), score, entry.log_position)
        self.models[entry.model] = tally
        if len(self.models) > MODELS_KEPT:
            del self.models[next(iter(self.models))]
        if self.reference and score > self.reference.value + self.tolerance:
            self.telling.append(Telling(score, entry.log_position))
            del self.telling[:-TELLING_KEPT]


def _known_hours(past: Past) -> tuple[str, ...]:
    """Cells with a twentieth of the scores at least."""
    sizes = {cell: sum(counts.values()) for cell, counts in past.items()}
    least = sum(sizes.values()) / 20.0
    return tuple(sorted(cell for cell, n in sizes.items() if n >= least))


def _add(tally: Tally | None, score: float, log_position: int) -> Tally:
    if tally is None:
        return Tally(1, score, log_position)
    return Tally(tally.n + 1, tally.total + score, tally.first_position)
