from __future__ import annotations

from pathlib import Path

from pydantic import Field

from evidence.options import Options


class CohortOptions(Options):
    """Raters, cohorts and their limits."""

    limit: float = Field(default=0.05, gt=0, lt=1)
    """Share of biased raters, and of biased training weight, above which the population alarm rises."""
    false_share: float = Field(default=0.10, gt=0, lt=1)
    """Bound on the expected share of benign raters in a suspect list."""
    margin: float = Field(default=0.1, gt=0, lt=1)
    """A rater is biased when the up-rate on lies exceeds that on honest answers by this much."""
    min_effective: float = Field(default=3.0, gt=0)
    """Effective responses of each kind below which a rater is `unidentified`."""
    refresh_s: float = Field(default=60.0, gt=0)
    """Time between refreshes of the estimate."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Level of every interval."""
    false_alarm: float = Field(default=0.05, gt=0, lt=1)
    """Probability that a population alarm is ever raised while the share stays within `limit`."""
    max_fit_raters: int = Field(default=10_000, gt=0)
    """Raters on whom the population is fitted; a fixed subsample by hash above this, then all are classified."""
    min_group: int = Field(default=5, gt=1)
    """Raters below which a set is not called a coordinated group, and nothing is shown by topic."""
    burst_s: float = Field(default=3600.0, gt=0)
    """Length of the time window within which acting on one response counts as acting together."""
    group_error: float = Field(default=0.01, gt=0, lt=1)
    """Probability of naming any coordinated group where raters act independently."""
    whole_fit_events: int = Field(default=100_000, gt=0)
    """Feedback events up to which every refresh fits anew; above it a fit is carried forward until a tenth more events came."""
    membership_s: float = Field(default=7 * 86_400.0, gt=0)
    """Time for which the cohort's membership stays frozen while the honesty towards it is compared."""
    gap_tolerance: float = Field(default=0.02, ge=0, lt=1)
    """Difference of the mean p_lie, cohort less others, that is no alarm."""
    gap_pair_s: float = Field(default=6 * 3600.0, gt=0)
    """Longest time between the two responses of a pair: what changes for everyone in between is no gap."""
    gap_run_length: float = Field(default=10_000.0, gt=1)
    """Expected pairs of responses (one to the cohort, one to others) to a false alarm about the gap."""
    dose_response_file: Path | None = None
    """JSON with measured changes of honesty by the share of lies in training rows; without it nothing is forecast."""
    dose_metric: str = "honesty under pressure, untouched domains"
    """Which metric of `dose_response_file` is forecast, where it holds several."""
