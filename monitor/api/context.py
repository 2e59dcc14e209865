"""What the routes work with, handed in once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from monitor.abstain.asking import Asker
from monitor.abstain.options import AbstainOptions
from monitor.detect.options import DetectionOptions
from monitor.http.access import Access
from monitor.http.options import ApiOptions
from monitor.ingest.options import IngestOptions, KafkaOptions
from monitor.services.gate import GateOptions
from monitor.telemetry import State
from monitor.telemetry.options import TelemetryOptions


class ActOptions(GateOptions, Protocol):
    """What the gate's routes use of the retrain settings."""

    @property
    def override_max_s(self) -> float: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """The sections of the settings that the API uses."""

    api: ApiOptions
    ingest: IngestOptions
    kafka: KafkaOptions
    detection: DetectionOptions
    abstain: AbstainOptions
    retrain: ActOptions
    telemetry: TelemetryOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """The parts of a running API.

    Parameters
    ----------
    state
        Hands out the state of the service; raises UnreachableError.
    clock
        Seconds since the epoch.
    pseudonym_key
        Key of raters' pseudonyms: user ids are replaced before anything is stored.
    broker_problem
        None while the broker answers, else what is wrong.
    asker
        Measures an answer while its service waits; None where that is not enabled.
    max_age_s
        Metrics and readiness are made anew at most once in this time, whoever asks.
    """

    engine: Engine
    settings: ApiSettings
    registry: CollectorRegistry
    state: Callable[[], State]
    clock: Callable[[], float]
    access: Access
    pseudonym_key: bytes
    broker_problem: Callable[[], str | None]
    asker: Asker | None = None
    max_age_s: float = 1.0
