from __future__ import annotations

from pydantic import Field

from evidence.options import Options


class ScoringOptions(Options):
    """How sampled responses reach the probes."""

    batch_size: int = Field(default=16, gt=0)
    """Responses measured together; batches are formed by length."""
    max_queue: int = Field(default=256, gt=0)
    """Responses waiting to be measured before partitions are paused."""
    timeout_s: float = Field(default=120.0, gt=0)
    """A batch that takes longer yields `error` verdicts and the worker goes on."""
