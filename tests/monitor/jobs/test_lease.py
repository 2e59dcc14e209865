"""One owner at a time, renewed while it works, fenced when it was too slow, and not held by a clock's jump."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select

from monitor.jobs.lease import Lease
from monitor.store import open_store, reading
from monitor.store.leases import LeaseLostError
from monitor.store.schema import leases


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_store(f"sqlite:///{tmp_path}/candor.db")
    yield engine
    engine.dispose()


def lease(engine: Engine, owner: str, clock: Clock, duration_s: float = 30.0) -> Lease:
    return Lease(engine, "work", owner=owner, duration_s=duration_s, clock=clock)


def test_one_owner_until_it_ends(engine: Engine) -> None:
    clock = Clock()
    one, two = lease(engine, "one", clock), lease(engine, "two", clock)
    assert one.take()
    assert not two.take()
    clock.now_s += 30.0
    assert two.take()
    assert not one.take()


def test_what_was_prepared_under_a_lost_lease_is_not_written(engine: Engine) -> None:
    clock = Clock()
    one, two = lease(engine, "one", clock), lease(engine, "two", clock)
    with one.held() as leading:
        assert leading
        clock.now_s += 31.0
        assert two.take()
        with pytest.raises(LeaseLostError), one.writing() as connection:
            connection.execute(
                insert(leases).values(name="never", owner="one", fence=1, expires_at_s=0.0)
            )
    with reading(engine) as connection:
        assert set(connection.execute(select(leases.c.name)).scalars()) == {"work"}


def test_long_work_keeps_its_lease(engine: Engine) -> None:
    clock = Clock()
    one = lease(engine, "one", clock, duration_s=0.06)
    two = lease(engine, "two", clock, duration_s=0.06)
    renewed = threading.Event()
    with one.held() as leading:
        assert leading
        clock.now_s += 0.05
        # Renewing is seen in the store, not waited for by the wall.
        for _ in range(10_000):
            with reading(engine) as connection:
                if connection.execute(select(leases.c.expires_at_s)).scalar_one() > 1000.1:
                    renewed.set()
                    break
        assert renewed.is_set()
        clock.now_s += 0.05
        assert not two.take()


@pytest.mark.parametrize("jump_s", [86_400.0, 3600.0])
def test_a_clock_that_was_ahead_does_not_hold_a_lease_for_as_long(
    engine: Engine, jump_s: float
) -> None:
    clock = Clock()
    one, two = lease(engine, "one", clock), lease(engine, "two", clock)
    clock.now_s += jump_s
    assert one.take()
    clock.now_s -= jump_s
    assert two.take()


def test_a_clock_a_little_behind_leaves_the_lease_where_it_is(engine: Engine) -> None:
    clock = Clock()
    one, two = lease(engine, "one", clock), lease(engine, "two", clock)
    assert one.take()
    clock.now_s -= 20.0
    assert not two.take()
