"""The leased job that estimates each assistant's raters from the store."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
from sqlalchemy import Engine

from evidence import Alarm
from monitor.cohorts import (
    CohortEstimate,
    CohortOptions,
    EventTable,
    PopulationState,
    RatedEvent,
    estimate,
    population_alarms,
)
from monitor.store import cohorts, detectors, leases
from monitor.store.engine import reading
from monitor.store.outbox import ALARMS_TOPIC

log = logging.getLogger(__name__)

_LEASE = "cohort-refresh"
_LEASE_S = 600.0


class CohortRefresh:
    """Call `refresh` again and again; it estimates where feedback or verdicts are new.

    Parameters
    ----------
    owner
        This process, as the lease's owner.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        options: CohortOptions,
        owner: str,
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._options = options
        self._owner = owner
        self._clock = clock
        self._estimated: dict[str, tuple[int, int]] = {}

    def refresh(self) -> list[Alarm]:
        """Estimate every assistant with new evidence; returns the alarms that opened."""
        with reading(self._engine) as connection:
            found = cohorts.rated_assistants(connection)
        stale = [(a, (n, m)) for a, n, m in found if self._estimated.get(a) != (n, m)]
        opened: list[Alarm] = []
        for assistant, counts in stale:
            if not self._lead():
                break
            opened += self._refresh(assistant)
            self._estimated[assistant] = counts
        return opened

    def _lead(self) -> bool:
        with self._engine.begin() as connection:
            now_s = self._clock()
            fence = leases.acquire(
                connection, _LEASE, self._owner, now_s=now_s, duration_s=_LEASE_S
            )
        return fence is not None

    def _refresh(self, assistant: str) -> list[Alarm]:
        with reading(self._engine) as connection:
            rows = cohorts.rated_events(connection, assistant)
            truth = cohorts.audited_truth(connection, assistant)
            follows = cohorts.newest_estimate(connection, assistant)
            closed = cohorts.closed_metrics(connection, assistant)
        table = EventTable.from_events(RatedEvent(**msgspec.structs.asdict(row)) for row in rows)
        if not len(table):
            return []
        found = estimate(table, options=self._options, labels=truth)
        state = PopulationState.decode(follows.alarm_state) if follows.alarm_state else None
        for metric in closed:
            state = state.closed(metric) if state else None
        now_s = self._clock()
        state, raised = population_alarms(
            state,
            found,
            scope=assistant,
            at_s=now_s,
            log_position=len(table),
            options=self._options,
        )
        new = _stored(assistant, found, state)
        with self._engine.begin() as connection:
            if not cohorts.save_estimate(connection, new, follows, now_s=now_s):
                return []
            opened = detectors.latch(
                connection, raised, by="cohorts", topic=ALARMS_TOPIC, now_s=now_s
            )
        for alarm in opened:
            log.warning("alarm %s: %s", alarm.alarm_id, alarm.claim)
        return opened


def _stored(assistant: str, found: CohortEstimate, state: PopulationState) -> cohorts.NewEstimate:
    without_raters = msgspec.structs.replace(found, raters=())
    return cohorts.NewEstimate(
        assistant=assistant,
        cutoff_s=found.cutoff_s,
        n_events=found.n_events,
        record=msgspec.json.encode(without_raters).decode(),
        alarm_state=state.encode().decode(),
        raters=tuple(
            {
                "rater": rater.rater,
                "p_biased": rater.p_biased,
                "status": rater.status.value,
                "n_events": rater.n_events,
            }
            for rater in found.raters
        ),
    )
