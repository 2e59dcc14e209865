"""The leased job that estimates each assistant's raters from the store."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

import msgspec
from sqlalchemy import Connection, Engine

from evidence import Alarm
from monitor.cohorts.alarm import PopulationState, population_alarms
from monitor.cohorts.cells import plane_of
from monitor.cohorts.estimate import estimate, estimate_and_carry
from monitor.cohorts.events import EventTable, RatedEvent
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.results import CohortEstimate, Plane
from monitor.cohorts.sensor import SensorError
from monitor.cohorts.standing import Standing
from monitor.jobs.gap_watch import watch_gap
from monitor.jobs.job import LeasedJob
from monitor.services.dose import read_dose_response
from monitor.store import cohorts, detectors, sensors
from monitor.store.engine import reading
from monitor.store.outbox import ALARMS_TOPIC

log = logging.getLogger(__name__)

# A fit is carried forward until this share of its events came anew.
_GROWTH = 0.1
# Feedback and verdicts may become visible this much later than their time says.
_OVERLAP_S = 900.0


@dataclasses.dataclass(slots=True)
class _Carried:
    """A fit that later refreshes go on from.

    Parameters
    ----------
    whole
        The estimate of the fit, without raters.
    n_fitted
        Measured events that it rests on.
    taken
        Measured events taken in since the beginning, the fit's among them.
    recent
        Those of them, by feedback id, that a read with the overlap sees again.
    """

    standing: Standing
    whole: CohortEstimate
    n_fitted: int
    taken: int
    recent: set[str]
    read_at_s: float


class CohortRefresh(LeasedJob):
    """Estimates every assistant's raters where feedback or verdicts are new."""

    name: ClassVar[str] = "cohorts"

    def __init__(
        self,
        engine: Engine,
        *,
        options: CohortOptions,
        owner: str,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(engine, owner=owner, clock=clock)
        self._options = options
        self._curve = read_dose_response(options.dose_response_file, options.dose_metric)
        self._estimated: dict[str, tuple[int, int]] = {}
        self._carried: dict[str, _Carried] = {}

    def _work(self) -> list[Alarm]:
        with reading(self._engine) as connection:
            rated = cohorts.rated_assistants(connection)
        opened: list[Alarm] = []
        for assistant, n, measured in rated:
            found = None
            if self._estimated.get(assistant) != (n, measured):
                if not self._carry_on(assistant, n, measured):
                    found, alarms = self._estimate(assistant)
                    opened += alarms
                self._estimated[assistant] = (n, measured)
            opened += self._watch(assistant, found)
        return opened

    def _watch(self, assistant: str, found: CohortEstimate | None) -> list[Alarm]:
        with reading(self._engine) as connection:
            closed = cohorts.closed_metrics(connection, assistant)
        return watch_gap(
            self._engine,
            self._lease,
            assistant,
            found,
            options=self._options,
            closed=closed,
            now_s=self._clock(),
        )

    def _estimate(self, assistant: str) -> tuple[CohortEstimate | None, list[Alarm]]:
        """Fit anew to all events up to now."""
        read_at_s = self._clock()
        with reading(self._engine) as connection:
            rows = cohorts.rated_events(connection, assistant)
            truth = cohorts.audited_truth(connection, assistant)
            follows = cohorts.newest_estimate(connection, assistant)
            closed = cohorts.closed_metrics(connection, assistant)
            sensor = _sensor(connection, assistant)
        table = EventTable.from_events(_events(rows))
        if not len(table):
            return None, []
        found, carry = estimate_and_carry(
            table, options=self._options, labels=truth, sensor=sensor, curve=self._curve
        )
        state = PopulationState.decode(follows.alarm_state) if follows.alarm_state else None
        for metric, at_s in closed.items():
            state = state.closed(metric, at_s) if state else None
        now_s = self._clock()
        state, raised = population_alarms(
            state,
            found,
            scope=assistant,
            at_s=now_s,
            log_position=len(table),
            options=self._options,
            since=self._since(assistant, state.since_s.values() if state else (), truth, sensor),
        )
        with self._lease.writing() as connection:
            new = _stored(assistant, found, state, self._plane(found))
            if not cohorts.save_estimate(connection, new, follows, now_s=now_s):
                return None, []
            opened = detectors.latch(
                connection, raised, by="cohorts", topic=ALARMS_TOPIC, now_s=now_s
            )
        for alarm in opened:
            log.warning("alarm %s: %s", alarm.alarm_id, alarm.claim)
        self._keep(assistant, rows, found, carry, read_at_s)
        return found, opened

    def _plane(self, found: CohortEstimate) -> Plane:
        options = self._options
        return plane_of(found.raters, least=options.min_group, margin=options.margin)

    def _since(
        self,
        assistant: str,
        times_s: Iterable[float],
        truth: Mapping[str, bool],
        sensor: SensorError | None,
    ) -> dict[float, CohortEstimate]:
        """By time at which an alarm was closed: what became known since then, estimated by itself."""
        found = {}
        for at_s in set(times_s):
            with reading(self._engine) as connection:
                rows = cohorts.rated_events(connection, assistant, since_s=at_s)
            table = EventTable.from_events(_events(rows))
            if len(table):
                found[at_s] = estimate(table, options=self._options, labels=truth, sensor=sensor)
        return found

    def _keep(
        self,
        assistant: str,
        rows: Sequence[cohorts.RatedRow],
        found: CohortEstimate,
        carry: Callable[[], Standing] | None,
        read_at_s: float,
    ) -> None:
        """Remember the fit where fitting anew is dear and none of its truth was audited."""
        self._carried.pop(assistant, None)
        audited = any(topic.n_labels for topic in found.topics)
        if carry is None or audited or found.n_events <= self._options.whole_fit_events:
            return
        measured = [row for row in rows if row.p_lie is not None]
        with reading(self._engine) as connection:
            recent = cohorts.rated_events(connection, assistant, since_s=read_at_s - _OVERLAP_S)
        known = {row.feedback_id for row in measured}
        self._carried[assistant] = _Carried(
            standing=carry(),
            whole=msgspec.structs.replace(found, raters=(), plane=self._plane(found)),
            n_fitted=len(measured),
            taken=len(measured),
            recent=known & {row.feedback_id for row in recent},
            read_at_s=read_at_s,
        )

    def _carry_on(self, assistant: str, n: int, measured: int) -> bool:
        """Carry the last fit over the new events; False when it takes a fit anew.

        That is when a tenth more events came, or what is stored is not what was taken in: somebody was
        forgotten, or something became visible late.
        """
        held = self._carried.get(assistant)
        if held is None or measured > (1 + _GROWTH) * held.n_fitted:
            return False
        now_s = self._clock()
        with reading(self._engine) as connection:
            rows = cohorts.rated_events(connection, assistant, since_s=held.read_at_s - _OVERLAP_S)
            follows = cohorts.newest_estimate(connection, assistant)
        seen = [row for row in rows if row.p_lie is not None]
        new = [row for row in seen if row.feedback_id not in held.recent]
        if held.taken + len(new) != measured:
            return False
        after = held.standing.refresh(_events(new))
        held.taken += len(new)
        held.recent = {row.feedback_id for row in seen}
        held.read_at_s = now_s
        cutoff_s = max([held.whole.cutoff_s, *(row.created_at_s for row in new)])
        record = msgspec.structs.replace(
            held.whole,
            biased_fraction=after.biased_fraction,
            biased_weight=after.biased_weight,
            n_events=after.n_events,
            n_unmeasured=n - measured,
            cutoff_s=cutoff_s,
            carried=measured - held.n_fitted,
        )
        carried = cohorts.CarriedEstimate(
            assistant=assistant,
            cutoff_s=cutoff_s,
            n_raters=after.biased_fraction.n,
            n_events=after.n_events,
            record=msgspec.json.encode(record).decode(),
            p_biased=after.p_biased,
        )
        with self._lease.writing() as connection:
            return cohorts.save_carried(connection, carried, follows, now_s=now_s)


def _sensor(connection: Connection, assistant: str) -> SensorError | None:
    """The measured errors of the evaluator that most rated responses were measured with."""
    version = cohorts.main_evaluator(connection, assistant)
    made = None if version is None else sensors.get_sensor(connection, version, assistant)
    return None if made is None else SensorError(accuracy=made.accuracy)


def _events(rows: Sequence[cohorts.RatedRow]) -> list[RatedEvent]:
    return [RatedEvent(**msgspec.structs.asdict(row)) for row in rows]


def _stored(
    assistant: str, found: CohortEstimate, state: PopulationState, plane: Plane
) -> cohorts.NewEstimate:
    without_raters = msgspec.structs.replace(found, raters=(), plane=plane)
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
        groups=tuple((group.group_id, group.raters) for group in found.groups),
    )
