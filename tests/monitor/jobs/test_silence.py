"""When every worker has fallen silent somebody else says so, whatever the workers' clocks said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from evidence import AlarmState
from evidence.person import person
from monitor.detect.options import DetectionOptions
from monitor.jobs.silence import SilenceWatch
from monitor.services.alarms import transition
from monitor.store import alarms, leases, open_store, reading


class House:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.passed = engine, 0.0
        self.watch = SilenceWatch(
            engine,
            silence_s=300.0,
            owner="serve",
            clock=lambda: 5000.0 + self.passed,
            stopwatch=lambda: self.passed,
        )

    def beat(self, worker: str, *, at_s: float, expected: int = 0) -> None:
        with self.engine.begin() as connection:
            leases.beat(connection, worker, expected=expected, actual=0, paused=False, now_s=at_s)

    def after(self, seconds: float) -> list[str]:
        self.passed += seconds
        return [alarm.claim for alarm in self.watch.update()]

    def close_alarms(self) -> None:
        with reading(self.engine) as connection:
            found = alarms.list_alarms(connection)
        steps = (AlarmState.REFUTED, AlarmState.CLOSED)
        with self.engine.begin() as connection:
            for alarm_id, state in [(a.alarm_id, s) for a in found for s in steps]:
                transition(
                    connection,
                    alarm_id,
                    state,
                    person("ana"),
                    reason="started again",
                    options=DetectionOptions(),
                    now_s=6000.0,
                )


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    engine = open_store(f"sqlite:///{tmp_path}/candor.db")
    yield House(engine)
    engine.dispose()


def test_no_worker_yet_is_no_silence(house: House) -> None:
    assert house.after(0) == house.after(10_000) == []


def test_silence_opens_one_alarm_until_it_is_closed(house: House) -> None:
    house.beat("w1", at_s=5000.0)
    assert house.after(0) == house.after(299) == []
    (claim,) = house.after(1)
    assert "no worker has said anything for 300 s" in claim
    assert house.after(600) == []
    house.close_alarms()
    assert len(house.after(5)) == 1


def test_one_worker_of_two_that_speaks_is_enough(house: House) -> None:
    house.beat("w1", at_s=5000.0)
    house.beat("w2", at_s=5000.0)
    house.after(0)
    for i in range(5):
        house.beat("w2", at_s=5100.0 + i)
        assert house.after(200) == []


@pytest.mark.parametrize("ahead_s", [86_400.0, -86_400.0])
def test_a_heartbeat_from_another_time_keeps_nobody_alive(house: House, ahead_s: float) -> None:
    house.beat("w1", at_s=5000.0 + ahead_s)
    house.after(0)
    assert len(house.after(301)) == 1


def test_a_worker_whose_clock_stands_is_heard_by_what_it_counts(house: House) -> None:
    house.beat("w1", at_s=5000.0)
    house.after(0)
    house.beat("w1", at_s=5000.0, expected=7)
    assert house.after(301) == []
