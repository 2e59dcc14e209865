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
