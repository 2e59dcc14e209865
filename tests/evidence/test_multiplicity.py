"""One budget over many streams, and e-values reported together."""

import math

import numpy as np
import pytest

from benchmarks.detector_bank import EDetectorBank
from evidence.errors import BadInputError
from evidence.multiplicity import (
    e_benjamini_hochberg,
    run_length_of_each,
    total_run_length,
)


def test_budget_arithmetic() -> None:
    assert total_run_length(0.5, 30_000) == 60_000
    assert run_length_of_each(60_000, 3) == 180_000
    for call in (
        lambda: total_run_length(0, 1),
        lambda: run_length_of_each(10, 0),
    ):
        with pytest.raises(BadInputError):
            call()


def test_streams_that_come_and_go_keep_the_common_run_length() -> None:
    """Whichever streams the responses go to, P(any alarm within T responses) <= T / ARL."""
    rng = np.random.default_rng(71)
    runs, total, responses = 200, 4_000, 1_200
    alarmed = 0
    for _ in range(runs):
        # Six streams with shares of their own; three of them only live for a third of the time.
        share = rng.dirichlet(np.ones(6))
        streams = rng.choice(6, size=responses, p=share)
        streams[: responses // 3] = streams[: responses // 3] % 3
        bank = EDetectorBank(np.full(6, 0.1), run_length_of_each(total, 1))
        bank.update_log(streams, (rng.random(responses) < 0.1).astype(float))
        alarmed += bool(bank.alarm.any())
    limit = responses / total
    assert alarmed / runs <= limit + 2 * math.sqrt(limit * (1 - limit) / runs)


def test_e_bh_by_hand() -> None:
    values = np.log([100.0, 1.0, 45.0, 3.0])
    assert e_benjamini_hochberg(values, 0.05) == [0, 2]
    assert e_benjamini_hochberg(values, 0.01) == []
    assert e_benjamini_hochberg([], 0.05) == []
    with pytest.raises(BadInputError):
        e_benjamini_hochberg(values, 1.0)


def test_e_bh_bounds_the_false_share_under_dependence() -> None:
    rng = np.random.default_rng(72)
    runs, level, shares = 2_000, 0.2, []
    for _ in range(runs):
        # All nulls share one e-value (mean 1), the worst kind of dependence.
        null = float(rng.random() < 0.05) * 20.0
        e = np.r_[np.full(8, null), rng.choice([5.0, 60.0], 4)]
        with np.errstate(divide="ignore"):
            found = e_benjamini_hochberg(np.log(e), level)
        shares.append(sum(i < 8 for i in found) / max(1, len(found)))
    assert np.mean(shares) <= level * 8 / 12 + 3 * np.std(shares) / math.sqrt(runs)
