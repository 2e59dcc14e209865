from __future__ import annotations

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
