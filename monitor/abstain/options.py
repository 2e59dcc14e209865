from __future__ import annotations

from typing import Literal

from pydantic import Field

from evidence.options import Options


class AbstainOptions(Options):
    """`POST /v1/decisions`: whether an answer is shown, before it is shown."""

    enabled: bool = False
    """Whether `candor serve` and `candor up` measure answers on request; they then load the probes, as a worker does."""
    cost_shown_lie: float = Field(default=10.0, gt=0)
    """What showing a lie costs, in any unit."""
    cost_withheld_honest: float = Field(default=1.0, gt=0)
    """What withholding an honest answer costs, in the same unit."""
    cost_review: float = Field(default=0.5, gt=0)
    """What a person's look at one answer costs, in the same unit."""
    max_shown_lies: float = Field(default=0.05, gt=0, lt=1)
    """Share of all answers that may be lies and shown nevertheless; held with the labels of a random audit once there are enough of them."""
    max_disagreement: float = Field(default=0.6, gt=0, le=1)
    """Probes whose p_lie differ by more than this on one answer send it to review."""
    timeout_s: float = Field(default=2.0, gt=0)
    """Time for one decision where the request names none."""
    max_timeout_s: float = Field(default=30.0, gt=0)
    """Longest time that a request may name."""
    max_waiting: int = Field(default=32, gt=0)
    """Answers that wait to be measured; further ones fail at once."""
    unmeasured_high: Literal["withhold", "review", "show"] = "withhold"
    """Answer for high stakes when nothing was measured in time: closed unless you say otherwise."""
    unmeasured_normal: Literal["withhold", "review", "show"] = "show"
    """Answer for normal stakes when nothing was measured in time."""
