"""What the routes work with, handed in once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from monitor.abstain.asking import Asker
from monitor.http.access import Access
from monitor.settings import Settings
from monitor.telemetry import State


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
    """

    engine: Engine
    settings: Settings
    registry: CollectorRegistry
    state: Callable[[], State]
    clock: Callable[[], float]
    access: Access
    pseudonym_key: bytes
    broker_problem: Callable[[], str | None]
    asker: Asker | None = None
