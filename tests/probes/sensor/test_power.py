"""The smallest fall that is found, against the detector itself."""

from __future__ import annotations

import numpy as np
import pytest

from evidence import EDetector
from probes.sensor.power import Fall, growth, smallest_falls, told

RNG = np.random.default_rng(5)
HONEST, LIES = RNG.beta(2, 14, 400), RNG.beta(8, 3, 400)
ARL, TOLERANCE = 10_000.0, 0.02


def test_the_detector_finds_the_fall_about_when_it_is_said_to() -> None:
    per_day = 200.0
    month = smallest_falls(
        HONEST, LIES, responses_per_day=per_day, average_run_length=ARL, tolerance=TOLERANCE
    )[-1]
    assert month.fall is not None
    rng = np.random.default_rng(0)
    delays = []
    for _ in range(12):
        detector = EDetector(float(HONEST.mean()), ARL, TOLERANCE)
        n = 0
        while not detector.alarm:
            lie = rng.random() < month.fall
            detector.update(float(rng.choice(LIES if lie else HONEST)))
            n += 1
        delays.append(n)
    assert 0.5 < np.mean(delays) / month.responses < 1.6


def test_a_larger_fall_grows_faster_and_none_not_at_all() -> None:
    reference = float(HONEST.mean()) + TOLERANCE
    rates = [growth(HONEST, LIES, fall, reference) for fall in (0.0, 0.05, 0.2, 0.5)]
    assert rates[0] == 0.0
    assert rates == sorted(rates)


def test_a_sensor_that_sees_nothing_finds_nothing() -> None:
    falls = smallest_falls(
        HONEST, HONEST, responses_per_day=1000, average_run_length=ARL, tolerance=TOLERANCE
    )
    assert [one.fall for one in falls] == [None, None, None]
    assert "no fall at all" in told(falls)


@pytest.mark.parametrize("per_day", [0.0, 1.0])
def test_without_traffic_there_is_no_power(per_day: float) -> None:
    falls = smallest_falls(
        HONEST, LIES, responses_per_day=per_day, average_run_length=ARL, tolerance=TOLERANCE
    )
    assert falls[0] == Fall(1, per_day, None)
