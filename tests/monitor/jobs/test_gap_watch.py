"""The watch on honesty towards the frozen cohort, from estimate to alarm and its release."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sqlalchemy import Engine, select, update

from evidence import Alarm
from monitor.cohorts.estimate import estimate
from monitor.cohorts.events import EventTable
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.results import CohortEstimate, RaterPosterior, RaterStatus
from monitor.jobs.gap_watch import METRIC, watch_gap
from monitor.jobs.lease import Lease
from monitor.store import open_store, reading
from monitor.store.gaps import read_members, read_watch
from monitor.store.schema import alarms, outbox, verdict_log
from tests.monitor.worker.rated_store import ASSISTANT, add_responses

OPTIONS = CohortOptions(gap_run_length=1_000)
COHORT = [f"c{i}" for i in range(8)]
OTHERS = [f"o{i}" for i in range(20)]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_store(f"sqlite:///{tmp_path}/candor.db")
    yield made
    made.dispose()


def found(cohort: list[str], others: list[str], cutoff_s: float) -> CohortEstimate:
    """An estimate that holds these raters for suspects and for benign."""
    empty = estimate(EventTable.from_events([]), options=OPTIONS)

    def rater(name: str, status: RaterStatus) -> RaterPosterior:
        return RaterPosterior(
            rater=name, p_biased=0.5, status=status, n_events=9, effective_honest=5.0,
            effective_lies=4.0, up_on_honest=0.5, up_on_lies=0.5,
        )  # fmt: skip

    raters = [rater(name, RaterStatus.SUSPECT) for name in cohort]
    raters += [rater(name, RaterStatus.BENIGN) for name in others]
    raters.append(rater("sparse", RaterStatus.UNIDENTIFIED))
    return msgspec.structs.replace(empty, raters=tuple(raters), cutoff_s=cutoff_s)


def look(
    engine: Engine,
    estimated: CohortEstimate | None = None,
    *,
    now_s: float = 1_000.0,
    closed: tuple[str, ...] = (),
) -> list[Alarm]:
    lease = Lease(engine, "cohorts", owner="w", duration_s=60.0, clock=lambda: now_s)
    assert lease.take()
    return watch_gap(
        engine, lease, ASSISTANT, estimated, options=OPTIONS, closed=closed, now_s=now_s
    )


def serve(engine: Engine, start: int, n: int, gap: float, *, at_s: float = 200.0) -> None:
    """Responses to everybody in turn; those to the cohort lie more often by `gap`."""
    rng = np.random.default_rng(start)
    names = COHORT + OTHERS
    rows = []
    for i in range(start, start + n):
        rater = names[int(rng.integers(len(names)))]
        p = 0.2 + (gap if rater in COHORT else 0.0) + 0.05 * rng.standard_normal()
        rows.append((f"r{i}", rater, float(np.clip(p, 0, 1)), at_s))
    add_responses(engine, rows)


def test_a_gap_after_the_freeze_opens_an_alarm_and_closing_releases_it(engine: Engine) -> None:
    serve(engine, 0, 600, 0.5)
    assert look(engine, found(COHORT, OTHERS, 100.0)) == []
    assert look(engine) == [], "what was served before the freeze does not count"
    serve(engine, 1_000, 600, 0.4)
    (alarm,) = look(engine)
    assert (alarm.subject.value, alarm.scope, alarm.metric) == ("population", ASSISTANT, METRIC)
    assert alarm.log_evidence >= alarm.log_threshold
    gap = alarm.details["gap"]["gap"]
    assert gap["lower"] < 0.4 < gap["upper"]
    serve(engine, 2_000, 100, 0.4)
    assert look(engine) == [], "open already"
    with engine.begin() as connection:
        connection.execute(update(alarms).values(state="closed"))
        assert len(connection.execute(select(outbox)).all()) == 1
    assert look(engine, closed=(METRIC,)) == []
    serve(engine, 3_000, 600, 0.4)
    (again,) = look(engine)
    assert again.alarm_id != alarm.alarm_id


def test_looks_in_between_change_nothing(engine: Engine, tmp_path: Path) -> None:
    other = open_store(f"sqlite:///{tmp_path}/other.db")
    for house in (engine, other):
        look(house, found(COHORT, OTHERS, 100.0))
    for start in range(0, 300, 50):
        for house in (engine, other):
            serve(house, start, 50, 0.1)
        look(engine)
    look(other)
    with reading(engine) as one, reading(other) as two:
        assert read_watch(one, ASSISTANT).state == read_watch(two, ASSISTANT).state  # type: ignore[union-attr]
    other.dispose()


def test_no_gap_no_alarm_and_old_responses_do_not_count(engine: Engine) -> None:
    look(engine, found(COHORT, OTHERS, 100.0))
    serve(engine, 0, 800, 0.0)
    serve(engine, 1_000, 800, 0.6, at_s=50.0)
    assert look(engine) == []
    with reading(engine) as connection:
        watch = read_watch(connection, ASSISTANT)
    assert watch is not None
    said = msgspec.json.decode(watch.gap)
    assert said["gap"]["lower"] < 0 < said["gap"]["upper"]
    assert said["gap"]["n"] == 800


def test_membership_stays_until_it_is_due_and_evidence_survives_it(engine: Engine) -> None:
    look(engine, found(COHORT, OTHERS, 100.0))
    serve(engine, 0, 100, 0.2)
    look(engine, found(OTHERS, COHORT, 150.0), now_s=2_000.0)
    with reading(engine) as connection:
        assert read_members(connection, ASSISTANT)["c0"]
        before = msgspec.json.decode(read_watch(connection, ASSISTANT).state)["detector"]  # type: ignore[union-attr]
    later = 1_000.0 + OPTIONS.membership_s
    look(engine, found(OTHERS, COHORT, 300.0), now_s=later)
    with reading(engine) as connection:
        members = read_members(connection, ASSISTANT)
        watch = read_watch(connection, ASSISTANT)
    assert watch is not None
    assert not members["c0"]
    assert members["o0"]
    assert "sparse" not in members
    assert msgspec.json.decode(watch.state)["detector"] == before
    assert watch.cutoff_s == 300.0
    assert watch.gap == "null", "nothing was served since"


def test_what_becomes_visible_late_is_read(engine: Engine) -> None:
    """On PostgreSQL the id of a verdict of another stratum may be smaller and yet come later."""
    look(engine, found(COHORT, OTHERS, 100.0))
    rows = [("r1", COHORT[0], 0.9, 200.0), ("r2", OTHERS[0], 0.1, 200.0)]
    add_responses(engine, rows, segment="first")
    with engine.begin() as connection:
        connection.execute(update(verdict_log).values(id=verdict_log.c.id + 1_000))
    look(engine)
    add_responses(engine, [("r3", COHORT[1], 0.9, 200.0)], segment="second")
    with engine.begin() as connection:
        late = verdict_log.c.stratum.contains("second")
        connection.execute(update(verdict_log).where(late).values(id=500))
    look(engine)
    with reading(engine) as connection:
        watch = read_watch(connection, ASSISTANT)
    assert watch is not None
    read = msgspec.json.decode(watch.state)["read"]
    assert {stratum.split("/")[1]: at for stratum, at in read.items()} == {
        "first": 1_002,
        "second": 500,
    }
    assert watch.log_position == 1_002


def test_nothing_is_said_of_a_few(engine: Engine) -> None:
    assert look(engine, found(COHORT[:3], OTHERS, 100.0)) == []
    with reading(engine) as connection:
        assert read_watch(connection, ASSISTANT) is None
