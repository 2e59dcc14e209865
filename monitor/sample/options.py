from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from evidence.options import Options


class SamplingOptions(Options):
    """The nested keyed-hash sample."""

    key_file: Path | None = None
    """File with the sampling key; required beyond one process, else made beside the database."""
    arrival_rate: float = Field(default=1.0, gt=0, le=1)
    """Probability that a response is measured on arrival (pi_0)."""
    feedback_rate: float = Field(default=1.0, gt=0, le=1)
    """Probability that a response with feedback is measured (pi_1 >= pi_0)."""

    @model_validator(mode="after")
    def _samples_nest(self) -> Self:
        if self.feedback_rate < self.arrival_rate:
            raise ValueError("feedback_rate is at least arrival_rate: the samples nest")
        return self
