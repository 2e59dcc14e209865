"""Detectors follow the verdict log: state, log position and alarms move by compare-and-set."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy import Engine

from evidence import Alarm
from monitor.detect.options import DetectionOptions, HealthOptions
from monitor.detect.records import decode_state, encode_state
from monitor.detect.stratum import advance, new_state
from monitor.jobs.deadline import Deadline
from monitor.services.freezing import Health, audit_freezing, frozen_as, readable
from monitor.store import detectors, health, verdicts
from monitor.store.engine import reading
from monitor.store.outbox import ALARMS_TOPIC
from monitor.worker.rescoring import Rescoring

log = logging.getLogger(__name__)

_BATCH = 500


def advance_detectors(
    engine: Engine,
    *,
    options: DetectionOptions,
    health_options: HealthOptions,
    clock: Callable[[], float],
    until: Deadline,
) -> tuple[list[Alarm], bool]:
    """Move strata's detectors towards the end of their logs; returns the alarms opened, and if more is left.

    At least one batch is read, then no new one after `until`: the poll loop must keep its place in the
    consumer group however long the log has grown.

    They stop before a failed evaluation that health has not judged yet, and before the first verdict
    of a new evaluator version whose reference is still being measured. Several workers may try the
    same stratum: the one that writes first wins, the others read again.
    """
    with reading(engine) as connection:
        strata = detectors.behind(connection)
        found = health.read_all(connection) if strata else {}
    stepper = _Stepper(engine, options, health_options, clock, found)
    opened: list[Alarm] = []
    for stratum in strata:
        while (step := stepper.step(stratum)) is not None:
            opened += step
            if until.passed:
                return opened, True
    return opened, False


class _Stepper:
    def __init__(
        self,
        engine: Engine,
        options: DetectionOptions,
        health_options: HealthOptions,
        clock: Callable[[], float],
        found: Health,
    ) -> None:
        self._engine = engine
        self._options = options
        self._patience_s = health_options.patience_s
        self._rescoring = Rescoring(engine, options, health_options, clock)
        self._clock = clock
        self._found = found

    def step(self, stratum: str) -> list[Alarm] | None:
        """One compare-and-set; None when the stratum's log is read as far as it may be."""
        with reading(self._engine) as connection:
            read = detectors.read_detector(connection, stratum)
            entries = verdicts.read_log(connection, stratum, after=read.log_position, limit=_BATCH)
        entries = readable(entries, self._found, now_s=self._clock(), patience_s=self._patience_s)
        stored = (
            decode_state(read.state) if read.state else new_state(stratum, options=self._options)
        )
        state = frozen_as(stored, self._found)
        ready = self._rescoring.prepare(state, entries)
        if not ready.entries:
            return None
        after, raised = advance(ready.state, ready.entries, options=self._options)
        text, position, now_s = encode_state(after), ready.entries[-1].log_position, self._clock()
        with self._engine.begin() as connection:
            if not detectors.save_detector(connection, read, text, position, now_s=now_s):
                return []
            audit_freezing(connection, stored, state, now_s=now_s)
            ready.record(connection, now_s)
            opened = detectors.latch(
                connection, raised, by="detection", topic=ALARMS_TOPIC, now_s=now_s
            )
        for alarm in opened:
            log.warning("alarm %s: %s", alarm.alarm_id, alarm.claim)
        return opened
