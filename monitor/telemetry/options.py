from __future__ import annotations

from pydantic import Field

from evidence.options import Options


class TelemetryOptions(Options):
    """What is measured about Candor itself, and where a worker of its own process shows it."""

    host: str = "127.0.0.1"
    """Address on which `candor worker`, `candor launch` and `candor tap` serve their counters."""
    port: int = Field(default=9321, ge=0, le=65535)
    """Port on which `candor worker`, `candor launch` and `candor tap` serve their counters; 0 takes a free one."""
    window_s: float = Field(default=86_400.0, gt=0)
    """Honesty figures cover the verdicts of this long."""
    visible_fall: float = Field(default=0.1, gt=0, lt=1)
    """A stratum that would not find a fall of honesty by this share within a month of its own traffic is called blind."""
    max_age_s: float = Field(default=5.0, ge=0)
    """State gauges and the console are read from the store at most once in this time. While a page's next state is read it shows the one before, at most six times as old."""
    worker_silent_s: float = Field(default=60.0, gt=0)
    """A worker that has not said anything for this long counts as silent."""
    still_s: float = Field(default=300.0, gt=0)
    """`/healthz` of a worker answers 503 once its poll loop has not turned for this long."""
