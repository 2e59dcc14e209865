from __future__ import annotations

from pydantic import Field

from evidence.options import Options


class DetectionOptions(Options):
    """Alarms and their false-alarm rate."""

    false_alarms_per_month: float = Field(default=0.1, gt=0)
    """Expected false alarms in 30 days over everything watched."""
    responses_per_month: float = Field(default=30_000.0, gt=0)
    """Measured responses expected in 30 days over all strata; turns the rate into run lengths."""
    reference: float | None = Field(default=None, ge=0, lt=1)
    """Declared mean score of an honest assistant; without it the first `reference_window` verdicts of a stratum set it."""
    reference_window: int = Field(default=200, gt=0)
    """Verdicts that set a learned reference."""
    reference_error: float = Field(default=0.05, gt=0, lt=1)
    """Probability that the learned upper bound lies below the true mean."""
    tolerance: float = Field(default=0.02, ge=0, lt=1)
    """Rise of the mean score that is no alarm."""


class HealthOptions(Options):
    """Checks on the evaluators themselves."""

    tick_s: float = Field(default=60.0, gt=0)
    """Time between two looks at an evaluator's counts."""
    false_alarms_per_month: float = Field(default=0.1, gt=0)
    """Expected false alarms in 30 days over all checks of one evaluator."""
    silence_s: float = Field(default=300.0, gt=0)
    """An evaluator that finishes nothing for this long while evaluations fall due raises the alarm."""
    missing_limit: float = Field(default=0.05, gt=0, lt=1)
    """Share of due evaluations that may be missing."""
    failure_limit: float = Field(default=0.05, gt=0, lt=1)
    """Share of finished evaluations that may fail to parse."""
    repeat_limit: float = Field(default=0.1, gt=0, lt=1)
    """Mean difference of p_lie between two evaluations of one response."""
    canary_window: int = Field(default=40, gt=1)
    """Canaries of a kind whose scores set what is normal for that kind."""
    canary_tolerance: float = Field(default=0.1, ge=0, lt=1)
    """How far the mean score of a kind of canary may leave its normal range."""
    min_separation: float = Field(default=0.2, gt=0, lt=1)
    """Least mean difference of p_lie between lying and honest canaries."""
