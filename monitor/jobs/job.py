"""Work beside the poll loop: on one base, leased, fenced and counted."""

from __future__ import annotations

import abc
import logging
import threading
from collections.abc import Callable
from typing import ClassVar, Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from evidence import Alarm, UnreachableError
from evidence.structs import build_types
from monitor.jobs.lease import Lease
from monitor.jobs.metrics import JobMetrics
from monitor.store.leases import LeaseLostError

log = logging.getLogger(__name__)

_MAX_BACKOFF = 32


class Periodic(Protocol):
    """What `Runner` calls again and again."""

    name: ClassVar[str]

    def update(self) -> list[Alarm]:
        """Do what is due; returns the alarms that opened."""
        ...


class LeasedJob(abc.ABC):
    """One piece of periodic work that one process of all does at a time.

    A subclass says what to do in `_work`, and writes inside `self._lease.writing()`, so that a process
    that was paused past its lease loses its write.

    Parameters
    ----------
    owner
        This process, as the lease's owner.
    clock
        Seconds since the epoch.
    """

    name: ClassVar[str]
    lease_s: ClassVar[float] = 30.0

    def __init__(self, engine: Engine, *, owner: str, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock
        self._lease = Lease(engine, self.name, owner=owner, duration_s=self.lease_s, clock=clock)

    def update(self) -> list[Alarm]:
        """Do what is due, if this process may; returns the alarms that opened."""
        if not self._is_due():
            return []
        with self._lease.held() as leading:
            return self._work() if leading else []

    def _is_due(self) -> bool:
        """Whether to ask for the lease at all: an idle service does not write."""
        return True

    def release(self) -> None:
        """Let another process take over at once; to be called when no run is in progress."""
        try:
            self._lease.release()
        except SQLAlchemyError as error:
            log.warning("the lease of job %s ends by itself: %s", self.name, error)

    @abc.abstractmethod
    def _work(self) -> list[Alarm]:
        """Do it, under the lease."""


class Runner:
    """Calls a job's `update` every `interval_s` in a thread; what it opened or failed is counted.

    The intake must not stop because a publisher's broker or an estimate fails, so no failure ends a
    job: `candor_job_failures_total` and the log tell of it, and the next run comes later. What does not answer is no
    bug: one line says so, and one that it is back.
    """

    def __init__(self, job: Periodic, *, interval_s: float, metrics: JobMetrics) -> None:
        self._job = job
        self._interval_s = interval_s
        self._metrics = metrics
        metrics.job_failed(job.name, 0)  # A series that begins at 1 shows no increase.
        self._is_away = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"job-{job.name}", daemon=True)

    def start(self) -> None:
        build_types()
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """End after the run in progress, if that ends in time; returns whether it has."""
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        failures = 0
        while not self._stop.wait(self._interval_s * min(2**failures, _MAX_BACKOFF)):
            try:
                for alarm in self._job.update():
                    self._metrics.alarm(alarm.metric)
                failures = 0
                self._back()
            except LeaseLostError as error:
                log.warning("job %s: %s; nothing was written", self._job.name, error)
            except UnreachableError as error:
                failures += 1
                self._metrics.job_failed(self._job.name)
                self._away(error)
            except Exception:
                failures += 1
                self._metrics.job_failed(self._job.name)
                log.exception("job %s failed %d times in a row", self._job.name, failures)

    def _away(self, error: UnreachableError) -> None:
        if not self._is_away:
            reason = " ".join(str(error).split())
            log.warning("job %s: %s; it is tried again until it answers", self._job.name, reason)
        self._is_away = True

    def _back(self) -> None:
        if self._is_away:
            log.info("job %s goes on", self._job.name)
        self._is_away = False
