"""The leased job that looks at each evaluator's health: the store's counts to ticks, alarms, repeats."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import msgspec
from sqlalchemy import Engine

from evidence import Alarm, Purpose, Stratum, VerdictKind, digest
from evidence.outcomes import WHOLE, Outcome, decode_outcomes
from monitor.detect.health import (
    HealthTick,
    MeasuredCanary,
    ProbeCount,
    advance_health,
    decode_health,
    encode_health,
    new_health,
    unhealthy,
)
from monitor.detect.options import HealthOptions
from monitor.ingest.options import OTHER
from monitor.jobs.job import LeasedJob
from monitor.score import measured_as
from monitor.score.canaries import SHOWN
from monitor.services.freezing import freeze_unhealthy
from monitor.store import detectors, health
from monitor.store.engine import reading
from monitor.store.health import Asked, Ended, StoredHealth
from monitor.store.intake import Key
from monitor.store.outbox import ALARMS_TOPIC
from probes.names import ACTIONS
from probes.scorer import Evaluator, evaluator_of

log = logging.getLogger(__name__)

_ALIVE_S = 120.0
_KEPT_S = 30 * 86_400.0


class _Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at one evaluator version found."""

    stored: StoredHealth
    upto: int
    tick: HealthTick
    counted: tuple[int, ...]
    repeats: tuple[Asked, ...]


class EvaluatorWatch(LeasedJob):
    """One tick, every `tick_s`, for each evaluator that workers measure with or that made verdicts."""

    name: ClassVar[str] = "health"

    def __init__(
        self, engine: Engine, *, options: HealthOptions, owner: str, clock: Callable[[], float]
    ) -> None:
        super().__init__(engine, owner=owner, clock=clock)
        self._options = options

    def begin(self, evaluator_version: str) -> None:
        """Know of an evaluator before its first verdict, so that its failures wait for the first look."""
        new = new_health(evaluator_version)
        first = StoredHealth(evaluator_version=evaluator_version)
        with self._engine.begin() as connection:
            stored = msgspec.structs.replace(
                first, state=encode_health(new), log_position=health.log_end(connection)
            )
            health.save(connection, first, stored, now_s=self._clock())

    def _work(self) -> list[Alarm]:
        now_s = self._clock()
        with self._lease.writing() as connection:
            health.prune(connection, before_s=now_s - _KEPT_S)
        opened: list[Alarm] = []
        for found in self._looks(now_s):
            opened += self._advance(found, now_s)
        freeze_unhealthy(self._engine, clock=self._clock)
        return opened

    def _looks(self, now_s: float) -> list[_Look]:
        with reading(self._engine) as connection:
            stored = health.read_all(connection)
            workers = health.live_evaluators(
                connection, since_s=now_s - _ALIVE_S, until_s=now_s + _ALIVE_S
            )
            alive = {one.version for worker in workers for one in worker}
            upto = health.log_end(connection)
            extra = _by_version(
                health.ended(connection, (Purpose.CANARY, Purpose.REPEAT), now_s=now_s), workers
            )
            looks = []
            for version in sorted(alive | set(stored) | set(extra)):
                known = stored.get(version, StoredHealth(evaluator_version=version))
                after = known.log_position
                counts = health.outcome_counts(connection, version, after=after, upto=upto)
                if not (counts or version in extra or version in alive):
                    continue
                keys = health.logged_keys(connection, version, after=after, upto=upto)
                looks.append(
                    _Look(
                        stored=known,
                        upto=upto,
                        tick=tick_of(counts, extra.get(version, []), at_s=now_s),
                        counted=tuple(item.id for item in extra.get(version, [])),
                        repeats=tuple(self._repeats(version, keys)),
                    )
                )
        return looks

    def _repeats(self, version: str, keys: Iterable[tuple[str, Key]]) -> Iterable[Asked]:
        """A share of the new verdicts, by a hash of their keys, is measured once more."""
        for key, (assistant, response_id) in keys:
            u = int(digest("repeat", key)[:14], 16) / 2.0**56
            if u < self._options.repeat_share:
                yield Asked(
                    purpose=Purpose.REPEAT,
                    assistant=assistant,
                    response_id=response_id,
                    evaluator_version=version,
                )

    def _advance(self, found: _Look, now_s: float) -> list[Alarm]:
        stored = found.stored
        was = decode_health(stored.state) if stored.state else new_health(stored.evaluator_version)
        state, raised = advance_health(was, found.tick, options=self._options)
        new = StoredHealth(
            evaluator_version=stored.evaluator_version,
            state=encode_health(state),
            unhealthy=tuple(unhealthy(state)),
            suspect_since_s=state.suspect_since_s,
            log_position=found.upto,
        )
        with self._lease.writing() as connection:
            if not health.save(connection, stored, new, now_s=now_s):
                return []
            health.mark_counted(connection, found.counted)
            health.ask(connection, found.repeats, now_s=now_s, due_s=self._options.due_s)
            opened = detectors.latch(
                connection, raised, by="health", topic=ALARMS_TOPIC, now_s=now_s
            )
        for alarm in opened:
            log.warning("alarm %s: %s", alarm.alarm_id, alarm.claim)
        return opened


def tick_of(counts: Mapping[str, int], extra: Iterable[Ended], *, at_s: float) -> HealthTick:
    """Counts of live verdicts by how they ended, and what was asked for besides, as one tick."""
    by_name: dict[str, dict[Outcome, int]] = defaultdict(lambda: dict.fromkeys(Outcome, 0))
    canaries, repeats, wrong_acts = [], [], []
    weighted = [*counts.items()]
    for item in extra:
        if item.void:
            continue
        # An overdue evaluation has no verdict: nothing is known of its probes.
        weighted.append((item.outcomes or f"{WHOLE}={Outcome.UNANSWERED}", 1))
        if item.purpose is Purpose.CANARY and item.known in SHOWN:
            # A probe that gave no answer is counted among the failures, and read nothing wrongly.
            if decode_outcomes(item.outcomes or "").get(ACTIONS) is Outcome.ANSWERED:
                wrong_acts.append(item.acts != item.known)
        elif item.purpose is Purpose.CANARY and item.known and item.kind:
            kind = VerdictKind(item.known)
            canaries.append(MeasuredCanary(known=kind, p_lie=item.p_lie, p_evasion=item.p_evasion))
        if item.purpose is Purpose.REPEAT and None not in {item.p_lie, item.live_p_lie}:
            repeats.append(abs((item.p_lie or 0.0) - (item.live_p_lie or 0.0)))
    for text, n in weighted:
        for name, outcome in decode_outcomes(text).items():
            by_name[name][outcome] += n
    probes = {
        name: ProbeCount(sum(n.values()), n[Outcome.UNANSWERED], n[Outcome.UNREADABLE])
        for name, n in by_name.items()
    }
    whole = probes.pop(WHOLE, ProbeCount(0))
    return HealthTick(
        at_s=at_s,
        due=whole.due,
        finished=whole.due - whole.unanswered,
        failed=whole.unreadable,
        canaries=tuple(canaries),
        repeats=tuple(repeats),
        wrong_acts=tuple(wrong_acts),
        # A panel of one probe ends as that probe does: one pair of checks is enough.
        probes=probes if len(probes) > 1 else {},
    )


def _by_version(
    ended: Iterable[Ended], workers: Iterable[tuple[Evaluator, ...]]
) -> dict[str, list[Ended]]:
    """What ended, by evaluator.

    An overdue canary was missed by every evaluator with which a live worker measures the assistant
    that it was sent for.
    """
    known = list(workers)
    found: dict[str, list[Ended]] = defaultdict(list)
    for item in ended:
        versions = {item.evaluator_version} if item.evaluator_version else _asked(item, known)
        for version in sorted(versions):
            found[version].append(item)
    return found


def _asked(canary: Ended, workers: Iterable[tuple[Evaluator, ...]]) -> set[str]:
    whose = OTHER if canary.stratum is None else measured_as(Stratum.of(canary.stratum))
    found = (evaluator_of(evaluators, whose) for evaluators in workers)
    return {one.version for one in found if one is not None}
