"""A wall clock that jumps is not followed; small corrections are."""

from __future__ import annotations

import pytest

from monitor.jobs.clock import SteadyClock


class Times:
    def __init__(self) -> None:
        self.wall, self.passed = 1_000_000.0, 50.0
        self.clock = SteadyClock(lambda: self.wall, lambda: self.passed)

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.passed += seconds


@pytest.mark.parametrize("jump_s", [-26 * 3600.0, -7200.0, -31.0, 31.0, 3600.0, 86_400.0])
def test_a_jump_is_not_followed_nor_is_the_way_back(jump_s: float) -> None:
    times = Times()
    times.pass_(10.0)
    times.wall += jump_s
    assert times.clock() == 1_000_010.0
    times.pass_(5.0)
    assert times.clock() == 1_000_015.0
    times.wall -= jump_s
    times.pass_(1.0)
    assert times.clock() == 1_000_016.0


def test_a_small_correction_is_followed_without_going_back() -> None:
    times = Times()
    times.wall += 2.0
    assert times.clock() == 1_000_002.0
    times.wall -= 4.0
    read = [times.clock()]
    for _ in range(10):
        times.pass_(1.0)
        read.append(times.clock())
    assert read == sorted(read)
    assert abs(times.clock() - times.wall) <= 4.0


def test_a_stopwatch_that_goes_back_stops_time_and_nothing_more() -> None:
    times = Times()
    times.passed -= 40.0
    assert times.clock() == 1_000_000.0
    times.pass_(3.0)
    assert times.clock() == 1_000_003.0
