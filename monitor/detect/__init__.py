"""Detection: a pure stage that turns the canonical verdict log into alarms with a guarantee."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.lazy import load_on_first_use

# ruff: noqa: TC004 -- at run time the names come from _PARTS, so that options load without scipy
if TYPE_CHECKING:
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

_PARTS = {
    "Canary": "health",
    "DetectionOptions": "options",
    "HealthOptions": "options",
    "HealthState": "health",
    "HealthTick": "health",
    "LoggedVerdict": "records",
    "METRICS": "records",
    "Reference": "records",
    "StratumState": "records",
    "advance": "stratum",
    "advance_health": "health",
    "close": "stratum",
    "close_health": "health",
    "decode_health": "health",
    "decode_state": "records",
    "encode_health": "health",
    "encode_state": "records",
    "freeze": "stratum",
    "new_health": "health",
    "new_state": "stratum",
    "rebase": "stratum",
    "status": "stratum",
    "thaw": "stratum",
    "unhealthy": "health",
}

load_on_first_use(__name__, _PARTS)
