"""What the gate may answer."""

from __future__ import annotations

from enum import StrEnum


class GateAnswer(StrEnum):
    """May these rows be trained: all, a named subset, not yet, no."""

    ALLOW = "allow"
    QUARANTINE = "quarantine"
    HOLD = "hold"
    BLOCK = "block"
