"""The leased job that raises the alarm when every worker has fallen silent.

It runs where no worker needs to live: beside the API.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import ClassVar

from sqlalchemy import Engine

from evidence import Alarm, AlarmState, AlarmSubject, digest
from monitor.jobs.job import LeasedJob
from monitor.store import detectors
from monitor.store.alarms import list_alarms
from monitor.store.engine import reading
from monitor.store.outbox import ALARMS_TOPIC
from monitor.store.status import Heartbeat, heartbeats

log = logging.getLogger(__name__)

SCOPE, METRIC = "workers", "silence"
_MOST_EPISODES = 10_000


class SilenceWatch(LeasedJob):
    """Watches heartbeats change, by this process's own stopwatch; no clock of a worker is believed.

    Where no worker was ever seen there is nothing to fall silent. The alarm stays until a person closes
    it; if nobody has spoken since, it opens again.

    Parameters
    ----------
    silence_s
        Nothing heard of any worker for so long is silence.
    stopwatch
        Monotonic seconds.
    """

    name: ClassVar[str] = "silence"

    def __init__(
        self,
        engine: Engine,
        *,
        silence_s: float,
        owner: str,
        clock: Callable[[], float],
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(engine, owner=owner, clock=clock)
        self._silence_s = silence_s
        self._stopwatch = stopwatch
        self._said: dict[str, Heartbeat] | None = None
        self._heard_s = stopwatch()

    def _is_due(self) -> bool:
        with reading(self._engine) as connection:
            said = {beat.worker: beat for beat in heartbeats(connection)}
        if said != self._said:
            self._said, self._heard_s = said, self._stopwatch()
        return bool(said) and self._stopwatch() - self._heard_s >= self._silence_s

    def _work(self) -> list[Alarm]:
        silent_s = self._stopwatch() - self._heard_s
        now_s = self._clock()
        with self._lease.writing() as connection:
            before = list_alarms(connection, scope=SCOPE, limit=_MOST_EPISODES)
            if any(alarm.state is not AlarmState.CLOSED for alarm in before):
                return []
            evidence = (math.log(silent_s), math.log(self._silence_s))
            raised = _alarm(silent_s, len(self._said or ()), len(before), evidence, at_s=now_s)
            opened = detectors.latch(
                connection, [raised], by="silence", topic=ALARMS_TOPIC, now_s=now_s
            )
        for alarm in opened:
            log.error("alarm %s: %s", alarm.alarm_id, alarm.claim)
        return opened


def _alarm(
    silent_s: float, workers: int, number: int, evidence: tuple[float, float], *, at_s: float
) -> Alarm:
    return Alarm(
        alarm_id=digest(SCOPE, METRIC, str(number))[:32],
        subject=AlarmSubject.EVALUATOR,
        scope=SCOPE,
        metric=METRIC,
        claim=f"no worker has said anything for {silent_s:.0f} s: nothing is measured",
        opened_at_s=at_s,
        log_position=0,
        n=workers,
        log_evidence=evidence[0],
        log_threshold=evidence[1],
        details={"silent_s": silent_s},
    )
