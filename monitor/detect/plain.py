"""Streams of bare scores: what `candor detect` runs, in constant memory per stream."""

from __future__ import annotations

import msgspec

from evidence.change_point import Block, ChangePoint, locate, push
from evidence.confidence import upper_bound, wilson
from evidence.e_detector import EDetector
from evidence.errors import BadInputError

TRACE_POINTS = 256


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How every stream is watched. `reference` None: learned from each stream's first `window` scores."""

    reference: float | None
    average_run_length: float = 10_000.0
    tolerance: float = 0.0
    min_propensity: float = 1.0
    window: int = 200
    reference_error: float = 0.05


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A stream's alarm. Samples count from 1 within the stream, lines from 1 within the file."""

    sample: int
    line: int
    log_evidence: float
    since: ChangePoint | None


class MeanAfter(msgspec.Struct, frozen=True, kw_only=True):
    """Mean of the `n` scores after an alarm, weighted by 1 / propensity, with a 95 % interval."""

    n: int
    mean: float
    lower: float
    upper: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a stream at the end of its scores.

    `log_evidence` is that of the last score; after an alarm the detector stands still at its
    alarm, and `after` describes the scores that came later: the size of the rise, free of the
    selection that raised the alarm.
    """

    stream: str
    n: int
    reference: float | None
    reference_source: str
    reference_n: int
    log_evidence: float | None
    log_threshold: float | None
    alarm: Found | None
    after: MeanAfter | None


class PlainStream:
    """One stream: an e-detector, the history that locates a rise, and a thinned trace of evidence."""

    def __init__(self, name: str, plan: Plan) -> None:
        self.name, self._plan = name, plan
        self._window: list[float] = []
        self._detector: EDetector | None = None
        self._bound: float | None = None
        self._blocks: list[Block] = []
        self._found: Found | None = None
        # Count, and sums of weights, squared weights and weighted scores after the alarm.
        self._after = (0, 0.0, 0.0, 0.0)
        self._stride = 1
        self.n = 0
        self.trace: list[tuple[int, float]] = []
        """(sample, log evidence), at most `TRACE_POINTS` of them, evenly thinned."""
        if plan.reference is not None:
            self._watch(plan.reference)

    def _watch(self, reference: float) -> None:
        plan = self._plan
        self._bound = reference
        if reference + plan.tolerance < 1.0:
            self._detector = EDetector(
                reference,
                plan.average_run_length,
                plan.tolerance,
                min_propensity=plan.min_propensity,
                cheap_limit=0.0,
            )

    def take(self, score: float, propensity: float, line: int) -> Found | None:
        """Advance by one score; the alarm when this score raised it.

        Raises `BadInputError` for values out of range, and for weighted scores while a reference
        is being learned: the window's bound holds for unweighted scores only.
        """
        if self._bound is None:
            self._learn(score, propensity)
            push(self._blocks, self.n, 0.0, score)
            return None
        if self._found or self._detector is None:
            self._check(score, propensity)
            self.n += 1
            if self._found:
                n, weights, squares, total = self._after
                w = 1.0 / propensity
                self._after = (n + 1, weights + w, squares + w * w, total + w * score)
            return None
        alarm = self._detector.update(score, propensity)
        self.n += 1
        push(self._blocks, self.n, 0.0, score)
        self._keep_trace(self._detector.log_evidence)
        if not alarm:
            return None
        self.trace.append((self.n, self._detector.log_evidence))
        self._found = Found(
            sample=self.n,
            line=line,
            log_evidence=self._detector.log_evidence,
            since=locate(self._blocks),
        )
        return self._found

    def _learn(self, score: float, propensity: float) -> None:
        self._check(score, propensity)
        if propensity != 1.0:
            raise BadInputError("a reference is learned from scores of propensity 1; declare one")
        self.n += 1
        self._window.append(score)
        if len(self._window) == self._plan.window:
            self._watch(upper_bound(self._window, self._plan.reference_error))
            self._window.clear()

    def _check(self, score: float, propensity: float) -> None:
        if not 0.0 <= score <= 1.0:
            raise BadInputError(f"a score must lie in [0, 1], not {score!r}")
        if not 0.0 < propensity <= 1.0:
            raise BadInputError(f"a propensity must lie in (0, 1], not {propensity!r}")

    def _keep_trace(self, log_evidence: float) -> None:
        if self.n % self._stride == 0:
            self.trace.append((self.n, log_evidence))
        if len(self.trace) > TRACE_POINTS:
            self.trace = self.trace[1::2]
            self._stride *= 2

    def summary(self) -> Summary:
        learned = self._plan.reference is None
        return Summary(
            stream=self.name,
            n=self.n,
            reference=self._bound,
            reference_source="learned" if learned else "declared",
            reference_n=self._plan.window if learned and self._bound is not None else 0,
            log_evidence=self._detector.log_evidence
            if self._detector and self._detector.n
            else None,
            log_threshold=self._detector.log_threshold if self._detector else None,
            alarm=self._found,
            after=self._mean_after(),
        )

    def _mean_after(self) -> MeanAfter | None:
        n, weights, squares, total = self._after
        if n == 0:
            return None
        mean, effective = total / weights, weights * weights / squares
        interval = wilson(mean * effective, effective)
        return MeanAfter(n=n, mean=mean, lower=interval.lower, upper=interval.upper)
