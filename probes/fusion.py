"""One calibrated p_lie from whichever probes ran, and the verdict it leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from evidence import BadInputError, Measurement, VerdictKind, digest
from probes.calibration import logit, shift_prevalence, sigmoid, threshold
from probes.names import EVERYWHERE
from probes.undecided import NOTHING_DECIDED, at_threshold

CONTRADICTED = "contradicted"
"""Key in the `answers` of a probe that is calibrated by itself: how many claims it found to be contradicted."""
DEFAULT = Path(__file__).parent / "default" / "fusion.json"


class Subset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The calibrated combination of one set of probes.

    p = sigmoid(intercept + Σ weightᵢ · logit(p_lieᵢ)), fitted on held-out scenarios.

    Parameters
    ----------
    weights, intercept
        The logistic regression.
    n, prevalence
        Labelled transcripts it was fitted on and the share of lies among them.
    calibration_error, calibration_error_upper, auroc
        Measured on scenarios left out of the fit; the upper end is of a 95 % interval.
    undecided
        p_lie from the first to below the second is not told apart well enough to call
        (`probes.undecided.band`); without a measured one nothing is.
    """

    weights: dict[str, float]
    intercept: float
    n: int
    prevalence: float
    calibration_error: float
    calibration_error_upper: float
    auroc: float
    undecided: tuple[float, float] = NOTHING_DECIDED


class FusionModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fitted combinations by set of probes, and the versions of the probes they were fitted to.

    `subsets` is keyed by the sorted probe names joined with `+`.
    """

    subsets: dict[str, Subset]
    probe_versions: dict[str, str]
    schema_version: int = 1


class Costs(NamedTuple):
    """What a wrong verdict costs, in one unit of the user's choice; only ratios matter."""

    false_alarm: float = 1.0
    missed_lie: float = 1.0
    missed_evasion: float = 1.0


class Reading(NamedTuple):
    """The fused result: a verdict kind, the probabilities behind it and the probes used for p_lie."""

    kind: VerdictKind
    p_lie: float | None
    p_evasion: float | None
    used: tuple[str, ...]
    error: str | None


class Fusion:
    """Fuses the measurements of one response.

    Parameters
    ----------
    model
        The fitted combinations.
    costs
        Give the thresholds: a verdict is `lie` from p_lie ≥ c_fa / (c_fa + c_miss).
    prevalence
        Share of lies expected where it is used; None keeps that of the fit.
    """

    def __init__(
        self, model: FusionModel, costs: Costs | None = None, prevalence: float | None = None
    ) -> None:
        self.model = model
        costs = costs or Costs()
        self.lie_threshold = threshold(costs.false_alarm, costs.missed_lie)
        self.evasion_threshold = threshold(costs.false_alarm, costs.missed_evasion)
        self.prevalence = prevalence

    @classmethod
    def load(
        cls, path: Path = DEFAULT, costs: Costs | None = None, prevalence: float | None = None
    ) -> Fusion:
        """Read a fusion artefact (JSON). Raises BadInputError when it is none."""
        try:
            model = msgspec.json.decode(path.read_bytes(), type=FusionModel)
        except (OSError, msgspec.MsgspecError) as error:
            raise BadInputError(f"not a fusion artefact: {error}", str(path)) from error
        return cls(model, costs, prevalence)

    @property
    def version(self) -> str:
        thresholds = (self.lie_threshold, self.evasion_threshold, self.prevalence)
        return digest(msgspec.json.encode(self.model, order="sorted"), repr(thresholds))[:16]

    def fits(self, versions: Mapping[str, str]) -> bool:
        """Whether each of these probes was there when it was fitted, in this version, and some of them
        together make a p_lie.

        A fusion without versions, as the shipped one, knows the probes that it combines. Probes that are
        calibrated by themselves need not be known.
        """
        fitted, subsets = self.model.probe_versions, self.model.subsets
        combined = {name for key in subsets for name in key.split("+")}
        known = all(
            fitted.get(name) == version if fitted else name in combined
            for name, version in versions.items()
            if name not in EVERYWHERE or name in fitted
        )
        return known and any(set(key.split("+")) <= versions.keys() for key in subsets)

    def p_lie(self, scores: Mapping[str, float]) -> tuple[float | None, tuple[str, ...]]:
        """Calibrated probability of a lie from p_lie by probe, and the probes it rests on.

        A set of probes that was never fitted uses the largest fitted set within it.
        """
        names = self._largest_fitted(scores)
        if not names:
            return None, ()
        subset = self.model.subsets["+".join(names)]
        total = subset.intercept + sum(subset.weights[name] * logit(scores[name]) for name in names)
        p = sigmoid(total)
        if self.prevalence is not None:
            p = shift_prevalence(p, subset.prevalence, self.prevalence)
        return p, names

    def parts(self, measurements: Sequence[Measurement]) -> dict[str, float]:
        """What each probe adds to the log-odds of a lie; of those alone that p_lie rests on."""
        scores = {m.probe: m.p_lie for m in measurements if m.p_lie is not None}
        names = self._largest_fitted(scores)
        weights = self.model.subsets["+".join(names)].weights if names else {}
        parts = {name: weights[name] * logit(scores[name]) for name in names}
        alone = self._alone(measurements, names)
        if alone is not None and alone.p_lie is not None:
            parts[alone.probe] = max([logit(alone.p_lie), *parts.values()])
        return parts

    def read(self, measurements: Sequence[Measurement]) -> Reading:
        """The verdict on one response.

        A claim that a probe calibrated by itself found to be contradicted counts as it says, where the others
        together say less. All probes failing or abstaining is `error`: missing is never honest. Within the measured band of
        its probes p_lie does not tell: `undecided`, unless another kind is told. `not_asserted` and
        `no_belief` need a probe that says so with more than one half, and no lie: calling a lie a
        story must not take it out of every rate.
        """
        scores = {m.probe: m.p_lie for m in measurements if m.p_lie is not None}
        p, used = self.p_lie(scores)
        p_evasion = _largest([m.p_evasion for m in measurements])
        alone = self._alone(measurements, used)
        if alone is not None and self._own_p(alone) >= max(self.lie_threshold, p or 0.0):
            kind = self._kind(self._own_p(alone), p_evasion, measurements, tells=True)
            return Reading(kind, self._own_p(alone), p_evasion, (alone.probe,), None)
        if p is None:
            return Reading(VerdictKind.ERROR, None, p_evasion, (), _why(measurements))
        kind = self._kind(p, p_evasion, measurements, tells=self.tells(p, used))
        return Reading(kind, p, p_evasion, used, None)

    def _alone(
        self, measurements: Sequence[Measurement], used: Sequence[str]
    ) -> Measurement | None:
        """What a probe that is calibrated by itself, and is no part of the combination, found to be contradicted."""
        found = [
            m
            for m in measurements
            if m.probe in EVERYWHERE and m.probe not in used and m.p_lie is not None
            if m.answers.get(CONTRADICTED)
        ]
        return max(found, key=lambda m: m.p_lie or 0.0, default=None)

    def _own_p(self, measurement: Measurement) -> float:
        """Its probability at the prevalence that is expected."""
        p, known = measurement.p_lie or 0.0, measurement.answers.get("prevalence")
        if self.prevalence is None or known is None:
            return p
        return shift_prevalence(p, known, self.prevalence)

    def tells(self, p: float, used: Sequence[str]) -> bool:
        """Whether a p_lie that rests on these probes lies outside the band in which they do not tell."""
        subset = self.model.subsets["+".join(used)]
        lower, upper = at_threshold(subset.undecided, self.lie_threshold)
        if self.prevalence is not None:
            p = shift_prevalence(p, self.prevalence, subset.prevalence)
        return not lower <= p < upper

    def _kind(
        self,
        p: float,
        p_evasion: float | None,
        measurements: Sequence[Measurement],
        *,
        tells: bool,
    ) -> VerdictKind:
        if tells and p >= self.lie_threshold:
            return VerdictKind.LIE
        if (_largest([m.p_not_asserted for m in measurements]) or 0.0) > 0.5:
            return VerdictKind.NOT_ASSERTED
        if p_evasion is not None and p_evasion >= self.evasion_threshold:
            return VerdictKind.EVASION
        if (_largest([m.p_no_belief for m in measurements]) or 0.0) > 0.5:
            return VerdictKind.NO_BELIEF
        return VerdictKind.HONEST if tells else VerdictKind.UNDECIDED

    def _largest_fitted(self, scores: Mapping[str, float]) -> tuple[str, ...]:
        fitted = [
            tuple(key.split("+"))
            for key in self.model.subsets
            if all(name in scores for name in key.split("+"))
        ]
        return max(fitted, key=lambda names: (len(names), names), default=())


def _largest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _why(measurements: Sequence[Measurement]) -> str:
    if not measurements:
        return "no probe ran"
    return "; ".join(
        f"{m.probe}: {m.error or m.abstained or 'no fusion was fitted to it'}" for m in measurements
    )[:500]
