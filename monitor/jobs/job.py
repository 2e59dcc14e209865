"""Work beside the poll loop: each job in a thread of its own, again and again until stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from monitor.jobs.metrics import WorkerMetrics

log = logging.getLogger(__name__)

_MAX_BACKOFF = 32


class Job:
    """Runs `work` every `interval_s`; a failure is logged and counted, and the next run comes later.

    The intake must not stop because a publisher's broker or an estimate fails, so no failure ends a
    job: `candor_job_failures_total` and the log tell of it.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], object],
        *,
        interval_s: float,
        metrics: WorkerMetrics,
    ) -> None:
        self.name = name
        self._work = work
        self._interval_s = interval_s
        self._metrics = metrics
        metrics.job_failed(name, 0)  # A series that begins at 1 shows no increase.
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"job-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End after the run in progress, if that ends in time."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _loop(self) -> None:
        failures = 0
        while not self._stop.wait(self._interval_s * min(2**failures, _MAX_BACKOFF)):
            try:
                self._work()
                failures = 0
            except Exception:
                failures += 1
                self._metrics.job_failed(self.name)
                log.exception("job %s failed %d times in a row", self.name, failures)
