"""Detection: a pure stage that turns the canonical verdict log into alarms with a guarantee."""

from monitor.detect.health import (
    Canary,
    HealthState,
    HealthTick,
    advance_health,
    close_health,
    decode_health,
    encode_health,
    new_health,
    unhealthy,
)
from monitor.detect.options import DetectionOptions, HealthOptions
from monitor.detect.records import (
    METRICS,
    LoggedVerdict,
    Reference,
    StratumState,
    decode_state,
    encode_state,
)
from monitor.detect.stratum import advance, close, freeze, new_state, rebase, status, thaw

__all__ = [
    "METRICS",
    "Canary",
    "DetectionOptions",
    "HealthOptions",
    "HealthState",
    "HealthTick",
    "LoggedVerdict",
    "Reference",
    "StratumState",
    "advance",
    "advance_health",
    "close",
    "close_health",
    "decode_health",
    "decode_state",
    "encode_health",
    "encode_state",
    "freeze",
    "new_health",
    "new_state",
    "rebase",
    "status",
    "thaw",
    "unhealthy",
]
