"""The sample nests, is a function of the id alone, and has the probabilities it states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evidence import Purpose, SampledBy
from monitor.sample import decide, phase_of
from monitor.sample.options import SamplingOptions

KEY = b"s" * 32
RATES = SamplingOptions(arrival_rate=0.2, feedback_rate=0.6)
rates = st.floats(0.0, 1.0)


@given(st.floats(0, 1, exclude_max=True), rates, rates)
def test_the_arrival_sample_is_part_of_the_feedback_sample(u: float, a: float, b: float) -> None:
    pi_0, pi_1 = sorted((a, b))
    without = phase_of(u, pi_0, pi_1, has_feedback=False)
    with_feedback = phase_of(u, pi_0, pi_1, has_feedback=True)
    assert without in (None, SampledBy.ARRIVAL)
    if without is SampledBy.ARRIVAL:
        assert with_feedback is SampledBy.ARRIVAL, "raters do not choose what is watched"
    assert (with_feedback is not None) == (u <= pi_1)


def test_shares_are_the_stated_probabilities() -> None:
    n = 20_000
    made = [decide("a", f"r{i}", Purpose.LIVE, options=RATES, key=KEY) for i in range(n)]
    arrival = np.mean([d.sampled_by is SampledBy.ARRIVAL for d in made])
    rated = np.mean([phase_of(d.u, 0.2, 0.6, has_feedback=True) is not None for d in made])
    assert abs(arrival - 0.2) < 4 * np.sqrt(0.2 * 0.8 / n)
    assert abs(rated - 0.6) < 4 * np.sqrt(0.6 * 0.4 / n)
    # Weighted by the inverse of its final probability each group counts for all of itself.
    has_feedback = [i % 3 == 0 for i in range(n)]
    total = sum(
        1 / (0.6 if rated else 0.2)
        for d, rated in zip(made, has_feedback, strict=True)
        if phase_of(d.u, 0.2, 0.6, has_feedback=rated) is not None
    )
    assert abs(total / n - 1) < 0.05


def test_the_decision_is_a_function_of_key_and_id() -> None:
    one = decide("a", "r", Purpose.LIVE, options=RATES, key=KEY)
    assert one == decide("a", "r", Purpose.LIVE, options=RATES, key=KEY)
    assert one.u != decide("b", "r", Purpose.LIVE, options=RATES, key=KEY).u
    assert one.u != decide("a", "r", Purpose.LIVE, options=RATES, key=b"t" * 32).u
    assert (one.pi_arrival, one.pi_feedback) == (0.2, 0.6)


def test_probe_traffic_is_never_sampled() -> None:
    found = decide("a", "r", Purpose.CANARY, options=SamplingOptions(), key=KEY)
    assert found.sampled_by is None
    assert found.skip_reason == "probe_traffic"
    assert found.pi_feedback == 0.0


def test_a_skip_has_its_reason() -> None:
    made = [decide("a", f"r{i}", Purpose.LIVE, options=RATES, key=KEY) for i in range(50)]
    assert {d.skip_reason for d in made if d.sampled_by is None} == {"rate"}
    assert {d.skip_reason for d in made if d.sampled_by is not None} == {None}


def test_rates_that_do_not_nest_are_refused() -> None:
    with pytest.raises(ValidationError, match="nest"):
        SamplingOptions(arrival_rate=0.5, feedback_rate=0.2)
