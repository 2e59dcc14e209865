from __future__ import annotations

import numpy as np
import pytest

from benchmarks.judge import ratio, timed, transcripts


def test_the_ratio_is_of_all_rounds_and_its_interval_of_pairs() -> None:
    value, lower, upper = ratio(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]))
    assert value == lower == upper == 0.5
    value, lower, upper = ratio(np.array([1.0, 1.0, 1.0]), np.array([0.5, 1.0, 2.0]))
    assert lower < value < upper


def test_an_unanswered_request_is_not_tolerated() -> None:
    assert timed(lambda: 3, 3).wall >= 0
    with pytest.raises(SystemExit, match="1 of 3"):
        timed(lambda: 2, 3)


def test_lies_and_honest_answers_take_turns() -> None:
    batch = transcripts(6)
    assert len({one.messages for one in batch}) == 6
