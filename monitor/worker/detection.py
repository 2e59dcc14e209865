"""Detectors follow the verdict log: state, log position and alarms move by compare-and-set."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy import Engine

from evidence import Alarm, VerdictKind
from monitor.detect import LoggedVerdict, advance, decode_state, encode_state, new_state
from monitor.detect.options import DetectionOptions
from monitor.store import detectors, verdicts
from monitor.store.engine import reading
from monitor.store.outbox import ALARMS_TOPIC

log = logging.getLogger(__name__)

_BATCH = 500


def advance_detectors(
    engine: Engine, *, options: DetectionOptions, clock: Callable[[], float]
) -> list[Alarm]:
    """Move every stratum's detectors to the end of its log; returns the alarms opened here.

    Several workers may try the same stratum: the one that writes first wins, the others read again.
    """
    with reading(engine) as connection:
        strata = detectors.behind(connection)
    opened: list[Alarm] = []
    for stratum in strata:
        while (step := _step(engine, stratum, options, clock)) is not None:
            opened += step
    return opened


def _step(
    engine: Engine, stratum: str, options: DetectionOptions, clock: Callable[[], float]
) -> list[Alarm] | None:
    """One compare-and-set; None when the stratum's log is read to its end."""
    with reading(engine) as connection:
        read = detectors.read_detector(connection, stratum)
        entries = verdicts.read_log(connection, stratum, after=read.log_position, limit=_BATCH)
    if not entries:
        return None
    state = decode_state(read.state) if read.state else new_state(stratum, options=options)
    state, raised = advance(state, [logged(entry) for entry in entries], options=options)
    text, position, now_s = encode_state(state), entries[-1].log_position, clock()
    with engine.begin() as connection:
        if not detectors.save_detector(connection, read, text, position, now_s=now_s):
            return []
        opened = detectors.latch(
            connection, raised, by="detection", topic=ALARMS_TOPIC, now_s=now_s
        )
    for alarm in opened:
        log.warning("alarm %s: %s", alarm.alarm_id, alarm.claim)
    return opened


def logged(entry: verdicts.LogEntry) -> LoggedVerdict:
    """The entry as detection reads it."""
    return LoggedVerdict(
        log_position=entry.log_position,
        stratum=entry.stratum,
        kind=VerdictKind(entry.kind),
        p_lie=entry.p_lie,
        p_evasion=entry.p_evasion,
        inclusion_probability=entry.inclusion_probability,
        model=entry.model,
        evaluator_version=entry.evaluator_version,
        scored_at_s=entry.scored_at_s,
    )
