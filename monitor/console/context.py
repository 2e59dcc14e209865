"""What the console's pages work with, handed in once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

from sqlalchemy import Engine

from monitor.detect.options import DetectionOptions
from monitor.http.access import Access, Principal
from monitor.services.gate import Gate, GateOptions
from monitor.telemetry import State
from monitor.telemetry.options import TelemetryOptions


class ActOptions(GateOptions, Protocol):
    """What the gate's acts use of the retrain settings."""

    @property
    def override_max_s(self) -> float: ...


class Checked(Protocol):
    """One part that the doctor looked at."""

    @property
    def part(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def advice(self) -> str: ...


Section = tuple[str, Sequence[tuple[str, str]]]
"""A section of the settings: its name, and each setting with its value as it may be shown."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConsoleContext:
    """The parts of a running console.

    Parameters
    ----------
    state
        What a principal may see of the service; raises UnreachableError.
    clock
        Seconds since the epoch.
    session_s
        How long somebody stays signed in.
    min_group
        No set of fewer raters is shown as a group.
    examine
        What the doctor finds; slow, asked for by hand.
    settings
        The settings in force, secrets masked.
    runbook
        `docs/runbook.md`.
    """

    engine: Engine
    access: Access
    state: Callable[[Principal], State]
    clock: Callable[[], float]
    detection: DetectionOptions
    retrain: ActOptions
    telemetry: TelemetryOptions
    session_s: float
    min_group: int
    examine: Callable[[], Sequence[Checked]]
    settings: Sequence[Section]
    runbook: str

    @property
    def gate(self) -> Gate:
        """The gate over this store."""
        return Gate(
            engine=self.engine,
            options=self.retrain,
            silent_s=self.telemetry.worker_silent_s,
            clock=self.clock,
        )
