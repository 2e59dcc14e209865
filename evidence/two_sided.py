"""A two-sided e-detector: for what should stay between two limits, such as an evaluator's canary scores."""

from __future__ import annotations

import math

import msgspec

from evidence.e_detector import EDetector, EDetectorState
from evidence.errors import BadInputError


class TwoSidedState(msgspec.Struct, frozen=True, kw_only=True, tag="two_sided"):
    lower: float
    upper: float
    average_run_length: float
    above: EDetectorState | None
    below: EDetectorState | None
    n: int
    schema_version: int = 1


class TwoSidedDetector:
    """Raises an alarm when the conditional mean of scores in [0, 1] leaves [lower, upper].

    Two one-sided e-detectors, each with twice the run length, so that their alarms together keep
    the one asked for. A limit of 0 or 1 cannot be left and takes no detector.

    Raises `BadInputError` unless 0 <= lower <= upper <= 1 with a side that can be left.
    """

    def __init__(self, lower: float, upper: float, average_run_length: float = 10_000) -> None:
        if not 0.0 <= lower <= upper <= 1.0 or (lower == 0.0 and upper == 1.0):
            raise BadInputError(
                f"limits need 0 <= lower <= upper <= 1 and one inside, not [{lower!r}, {upper!r}]"
            )
        if upper == 0.0 or lower == 1.0:
            raise BadInputError("a limit of 0 above or of 1 below leaves no room for chance")
        self.lower, self.upper = float(lower), float(upper)
        self.average_run_length = float(average_run_length)
        self._above = EDetector(self.upper, 2.0 * self.average_run_length) if upper < 1 else None
        self._below = (
            EDetector(1.0 - self.lower, 2.0 * self.average_run_length) if lower > 0 else None
        )
        self.n = 0
        self.log_threshold = math.log(2.0 * self.average_run_length)

    def reset(self) -> None:
        """Forget all evidence."""
        self.n = 0
        for side in self._sides():
            side.reset()

    def _sides(self) -> list[EDetector]:
        return [side for side in (self._above, self._below) if side is not None]

    @property
    def alarm(self) -> bool:
        return any(side.alarm for side in self._sides())

    @property
    def log_evidence(self) -> float:
        """The larger of both sides' log statistics; compare with `log_threshold`."""
        return max(side.log_evidence for side in self._sides())

    @property
    def direction(self) -> str:
        """`above` or `below`: the side with more evidence."""
        above = self._above.log_evidence if self._above else -math.inf
        below = self._below.log_evidence if self._below else -math.inf
        return "above" if above >= below else "below"

    def update(
        self, score: float | None, propensity: float = 1.0, cheap: float | None = None
    ) -> bool:
        """Take one score in; two-phase data are not supported here.

        Raises `BadInputError` for a propensity other than 1 or a cheap score.
        """
        if propensity != 1.0 or cheap is not None:
            raise BadInputError("a two-sided detector takes fully observed scores only")
        if score is not None:
            if self._above is not None:
                self._above.update(score)
            if self._below is not None:
                self._below.update(1.0 - score)
            self.n += 1
        return self.alarm

    def state(self) -> TwoSidedState:
        return TwoSidedState(
            lower=self.lower,
            upper=self.upper,
            average_run_length=self.average_run_length,
            above=self._above.state() if self._above else None,
            below=self._below.state() if self._below else None,
            n=self.n,
        )

    @classmethod
    def restore(cls, state: TwoSidedState) -> TwoSidedDetector:
        made = cls(state.lower, state.upper, state.average_run_length)
        made.n = state.n
        made._above = EDetector.restore(state.above) if state.above else None
        made._below = EDetector.restore(state.below) if state.below else None
        return made
