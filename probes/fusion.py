"""One calibrated p_lie from whichever probes ran, and the verdict it leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from evidence import BadInputError, Measurement, VerdictKind, digest
from probes.calibration import logit, shift_prevalence, sigmoid, threshold

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
    """

    weights: dict[str, float]
    intercept: float
    n: int
    prevalence: float
    calibration_error: float
    calibration_error_upper: float
    auroc: float


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

        A fusion without versions, as the shipped one, knows the probes that it combines.
        """
        fitted, subsets = self.model.probe_versions, self.model.subsets
        combined = {name for key in subsets for name in key.split("+")}
        known = all(
            fitted.get(name) == version if fitted else name in combined
            for name, version in versions.items()
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
        return {name: weights[name] * logit(scores[name]) for name in names}

    def read(self, measurements: Sequence[Measurement]) -> Reading:
        """The verdict on one response.

        All probes failing or abstaining is `error`: missing is never honest. `not_asserted` and
        `no_belief` need a probe that says so with more than one half, and no lie: calling a lie a
        story must not take it out of every rate.
        """
        scores = {m.probe: m.p_lie for m in measurements if m.p_lie is not None}
        p, used = self.p_lie(scores)
        p_evasion = _largest([m.p_evasion for m in measurements])
        if p is None:
            return Reading(VerdictKind.ERROR, None, p_evasion, (), _why(measurements))
        return Reading(self._kind(p, p_evasion, measurements), p, p_evasion, used, None)

    def _kind(
        self, p: float, p_evasion: float | None, measurements: Sequence[Measurement]
    ) -> VerdictKind:
        if p >= self.lie_threshold:
            return VerdictKind.LIE
        if (_largest([m.p_not_asserted for m in measurements]) or 0.0) > 0.5:
            return VerdictKind.NOT_ASSERTED
        if p_evasion is not None and p_evasion >= self.evasion_threshold:
            return VerdictKind.EVASION
        if (_largest([m.p_no_belief for m in measurements]) or 0.0) > 0.5:
            return VerdictKind.NO_BELIEF
        return VerdictKind.HONEST

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
