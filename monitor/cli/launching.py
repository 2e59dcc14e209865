"""The launcher of confirm runs as a job of this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from monitor.jobs.job import Job
from monitor.jobs.metrics import WorkerMetrics
from monitor.launch.launcher import Launcher
from monitor.settings import Settings

_TICK_S = 1.0


@contextmanager
def launcher_job(settings: Settings, engine: Engine, metrics: WorkerMetrics) -> Iterator[Launcher]:
    """Tick a launcher until the context ends; a failed tick is logged, counted and tried again.

    Confirm runs that are under way go on when it ends: the next launcher finds them.
    """
    launcher = Launcher(engine, settings.retrain, time.time)
    job = Job("launch", launcher.tick, interval_s=_TICK_S, metrics=metrics)
    job.start()
    try:
        yield launcher
    finally:
        job.stop()
        launcher.close()
