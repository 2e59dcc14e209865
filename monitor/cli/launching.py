"""The launcher of confirm runs as a job of this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from monitor.jobs.clock import SteadyClock
from monitor.jobs.job import Runner
from monitor.jobs.metrics import JobMetrics
from monitor.launch.launcher import Launcher
from monitor.settings import Settings

_TICK_S = 1.0


@contextmanager
def launcher_job(settings: Settings, engine: Engine, metrics: JobMetrics) -> Iterator[Launcher]:
    """Tick a launcher until the context ends; a failed tick is logged, counted and tried again.

    Confirm runs that are under way go on when it ends: the next launcher finds them.
    """
    silent_s = settings.telemetry.worker_silent_s
    launcher = Launcher(engine, settings.retrain, SteadyClock(), silent_s=silent_s)
    runner = Runner(launcher, interval_s=_TICK_S, metrics=metrics)
    runner.start()
    try:
        yield launcher
    finally:
        runner.stop()
        launcher.close()
