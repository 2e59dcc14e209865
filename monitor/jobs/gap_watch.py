"""Watches whether the assistant is less honest to the suspected cohort than to others."""

from __future__ import annotations

import logging
from collections.abc import Collection

import msgspec
from sqlalchemy import Engine

from evidence import Alarm, AlarmSubject, digest
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.results import CohortEstimate
from monitor.cohorts.sycophancy import (
    GapDetector,
    GapDetectorState,
    Membership,
    Served,
    SycophancyGap,
    freeze_membership,
    sycophancy_gap,
)
from monitor.jobs.lease import Lease
from monitor.store import detectors, gaps
from monitor.store.engine import reading
from monitor.store.gaps import ServedRow, StoredWatch
from monitor.store.outbox import ALARMS_TOPIC

log = logging.getLogger(__name__)

METRIC = "sycophancy_gap"


class GapState(msgspec.Struct, frozen=True, kw_only=True):
    """What the watch remembers: the detector, whether its alarm is open, and how many it opened.

    `read` is the last position that was read of each stratum since the freeze: only within a stratum do
    log positions become visible in their order.
    """

    detector: GapDetectorState
    open: bool = False
    opened: int = 0
    read: dict[str, int] = {}
    schema_version: int = 1


def watch_gap(
    engine: Engine,
    lease: Lease,
    assistant: str,
    found: CohortEstimate | None,
    *,
    options: CohortOptions,
    closed: Collection[str],
    now_s: float,
) -> list[Alarm]:
    """Take what members were served since the last look, then freeze a new membership if it is due.

    The membership rests on feedback before its cut-off, and only responses after it count, in the order
    of the verdict log; so the detector's guarantee holds across freezes. State, position and alarm
    change in one transaction.

    Parameters
    ----------
    lease
        Held by the caller: what is written is fenced by it.
    found
        The newest whole estimate, if one was made just now: what a new membership is frozen from.
    closed
        Population metrics whose alarms are all closed.
    """
    with reading(engine) as connection:
        read = gaps.read_watch(connection, assistant)
        members = gaps.read_members(connection, assistant) if read else {}
        since = read.frozen_position if read else 0
        served = gaps.served_rows(connection, assistant, after=since) if read else []
        end = gaps.newest_position(connection)
    state = _released(_state(read, options), closed)
    detector = GapDetector.restore(state.detector, pair_s=options.gap_pair_s)
    served = [row for row in served if read and row.created_at_s > read.cutoff_s]
    new = [row for row in served if row.log_position > state.read.get(row.stratum, since)]
    for row in new:
        detector.update(
            in_cohort=members[row.rater],
            p_lie=row.p_lie,
            created_at_s=row.created_at_s,
            stratum=row.stratum,
        )
    membership = _due(read, found, options, now_s)
    if not new and membership is None and state == _state(read, options):
        return []
    gap = _gap(read, members, served, options)
    raised = []
    if detector.alarm and not state.open and read is not None:
        raised = [_alarm(assistant, detector, gap, options, number=state.opened, at=(now_s, end))]
    state = GapState(
        detector=detector.state(),
        open=state.open or bool(raised),
        opened=state.opened + len(raised),
        # In log order, so that the last of a stratum stays.
        read={} if membership else {**state.read, **{row.stratum: row.log_position for row in new}},
    )
    last = max([since, *state.read.values()])
    after = _written(
        read, membership, state, gap, position=end if membership else last, now_s=now_s
    )
    with lease.writing() as connection:
        frozen = None if membership is None else membership.in_cohort
        if not gaps.save_watch(connection, assistant, read, after, frozen):
            return []
        opened = detectors.latch(connection, raised, by="cohorts", topic=ALARMS_TOPIC, now_s=now_s)
    for alarm in opened:
        log.warning("alarm %s: %s", alarm.alarm_id, alarm.claim)
    return opened


def _state(read: StoredWatch | None, options: CohortOptions) -> GapState:
    if read is not None:
        return msgspec.json.decode(read.state, type=GapState)
    detector = GapDetector(
        average_run_length=options.gap_run_length, tolerance=options.gap_tolerance
    )
    return GapState(detector=detector.state())


def _released(state: GapState, closed: Collection[str]) -> GapState:
    """The state once a person closed the alarm: the evidence starts anew."""
    if not state.open or METRIC not in closed:
        return state
    detector = GapDetector.restore(state.detector)
    detector.reset()
    return GapState(detector=detector.state(), opened=state.opened, read=state.read)


def _due(
    read: StoredWatch | None, found: CohortEstimate | None, options: CohortOptions, now_s: float
) -> Membership | None:
    """A new membership, when the last is old enough and both sides have enough raters."""
    if found is None or (read is not None and now_s < read.frozen_at_s + options.membership_s):
        return None
    membership = freeze_membership(found)
    inside = sum(membership.in_cohort.values())
    enough = min(inside, len(membership.in_cohort) - inside) >= options.min_group
    return membership if enough else None


def _gap(
    read: StoredWatch | None,
    members: dict[str, bool],
    served: list[ServedRow],
    options: CohortOptions,
) -> SycophancyGap | None:
    if read is None:
        return None
    rows = (
        Served(
            rater=row.rater,
            created_at_s=row.created_at_s,
            p_lie=row.p_lie,
            inclusion_probability=row.inclusion_probability,
        )
        for row in served
    )
    return sycophancy_gap(
        Membership(cutoff_s=read.cutoff_s, in_cohort=members),
        rows,
        confidence=options.confidence,
        min_group=options.min_group,
    )


def _written(
    read: StoredWatch | None,
    membership: Membership | None,
    state: GapState,
    gap: SycophancyGap | None,
    *,
    position: int,
    now_s: float,
) -> StoredWatch:
    text = msgspec.json.encode(state).decode()
    figure = msgspec.json.encode(gap if membership is None else None).decode()
    if read is not None and membership is None:
        return msgspec.structs.replace(read, state=text, gap=figure, log_position=position)
    return StoredWatch(
        cutoff_s=membership.cutoff_s if membership else 0.0,
        frozen_at_s=now_s,
        frozen_position=position,
        log_position=position,
        state=text,
        gap=figure,
    )


def _alarm(
    assistant: str,
    detector: GapDetector,
    gap: SycophancyGap | None,
    options: CohortOptions,
    *,
    number: int,
    at: tuple[float, int],
) -> Alarm:
    at_s, position = at
    said = ""
    if gap is not None:
        said = f": {gap.gap.estimate:+.3f} [{gap.gap.lower:+.3f}, {gap.gap.upper:+.3f}]"
    return Alarm(
        alarm_id=digest("population", assistant, METRIC, str(number))[:32],
        subject=AlarmSubject.POPULATION,
        scope=assistant,
        metric=METRIC,
        claim=f"the mean p_lie of responses to the suspected cohort rose above that to others{said}",
        opened_at_s=at_s,
        log_position=position,
        n=detector.pairs,
        log_evidence=detector.log_evidence,
        log_threshold=detector.log_threshold,
        reference=options.gap_tolerance,
        details={"gap": msgspec.to_builtins(gap)},
    )
