"""Detection: a pure stage that turns the canonical verdict log into alarms with a guarantee."""

from monitor.detect.options import DetectionOptions
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
    "DetectionOptions",
    "LoggedVerdict",
    "Reference",
    "StratumState",
    "advance",
    "close",
    "decode_state",
    "encode_state",
    "freeze",
    "new_state",
    "rebase",
    "status",
    "thaw",
]
