"""One metric under one evaluator: learn a reference, then run the e-detector and remember the tail."""

from __future__ import annotations

from evidence.change_point import Block, push
from evidence.e_detector import EDetector
from evidence.records import LoggedVerdict
from evidence.start_weighted import StartWeighted
from monitor.detect.options import DetectionOptions
from monitor.detect.records import Reference, StreamState, Tally, Telling
from monitor.detect.reference import reference_of

TELLING_KEPT = 40
MODELS_KEPT = 8


class Stream:
    """A `StreamState` being advanced; `state()` gives the value back."""

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
        )

    def set_reference(self, reference: Reference) -> None:
        """Compare with `reference` from now on; evidence against the old one is dropped."""
        self.reference = reference
        self.window.clear()
        bound = reference.value + self.tolerance
        self.detector = (
            EDetector(reference.value, self.average_run_length, self.tolerance)
            if 0.0 < bound < 1.0
            else None
        )
        self.joint = (
            StartWeighted(bound, horizon=self.average_run_length) if self.detector else None
        )
        self.forget()

    def forget(self) -> None:
        """Start anew against the same reference."""
        if self.detector:
            self.detector.reset()
        if self.joint:
            self.joint.reset()
        self.blocks.clear()
        self.telling.clear()
        self.models.clear()
        self.after_alarm = None

    def take(self, entry: LoggedVerdict, score: float, options: DetectionOptions) -> bool:
        """Advance by one score and return whether the detector stands in alarm."""
        push(self.blocks, entry.log_position, entry.scored_at_s, score)
        if self.reference is None:
            self._learn(entry, score, options)
            return False
        self._remember(entry, score)
        if self.detector is None:
            return False
        before = self.detector.alarm
        alarm = self.detector.update(score)
        if self.joint:
            self.joint.update(score)
        if before:
            self.after_alarm = _add(self.after_alarm, score, entry.log_position)
        return alarm

    def _learn(self, entry: LoggedVerdict, score: float, options: DetectionOptions) -> None:
        self.window.append(score)
        if len(self.window) < options.reference_window:
            return
        blocks, at = list(self.blocks), entry.log_position
        self.set_reference(
            reference_of(self.window, source="learned", log_position=at, options=options)
        )
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


def _add(tally: Tally | None, score: float, log_position: int) -> Tally:
    if tally is None:
        return Tally(1, score, log_position)
    return Tally(tally.n + 1, tally.total + score, tally.first_position)
