"""The bound on shown lies holds for a score of any worth, and does not forbid more than it must."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.abstain.conformal import shown_lie_threshold


def test_small_cases_by_hand() -> None:
    # alpha 0.25 with 7 labels: (k + 1) / 8 <= 0.25 lets one lie pass.
    scores = [(0.1, False), (0.2, True), (0.3, False), (0.4, True), (0.5, False), (0.6, False)]
    found = shown_lie_threshold([*scores, (0.7, True)], 0.25)
    assert (found.threshold, found.n, found.lies) == (0.3, 7, 3)
    assert shown_lie_threshold([(0.5, False)] * 3, 0.25).threshold == 1.0
    assert shown_lie_threshold([(0.5, False)] * 2, 0.25).threshold is None, "too few labels"
    assert shown_lie_threshold([], 0.25).threshold is None
    assert shown_lie_threshold([(0.0, True)] * 10, 0.25).threshold is None, "all lie alike"
    tied = [(0.2, True), (0.2, True), (0.2, False), (0.9, False)]
    assert shown_lie_threshold(tied, 0.4).threshold is None, "a tie with one lie too many is out"


@pytest.mark.parametrize("worth", [0.0, 0.5, 1.5])
@pytest.mark.parametrize(("n", "limit"), [(40, 0.1), (200, 0.05), (99, 0.01)])
def test_a_lie_is_shown_at_most_as_often_as_promised(worth: float, n: int, limit: float) -> None:
    """Simulation: a fresh audit and a fresh answer each time, lies in a fifth of the answers."""
    rng = np.random.default_rng([int(worth * 10), n])
    trials, shown_lies, shown = 4000, 0, 0
    for _ in range(trials):
        lie = rng.random(n + 1) < 0.2
        score = 1 / (1 + np.exp(-(rng.normal(size=n + 1) + worth * (2 * lie - 1))))
        labelled = list(zip(score[:n].tolist(), lie[:n].tolist(), strict=True))
        threshold = shown_lie_threshold(labelled, limit).threshold
        passed = threshold is not None and score[n] <= threshold
        shown += passed
        shown_lies += passed and bool(lie[n])
    error = 3 * np.sqrt(limit * (1 - limit) / trials)
    assert shown_lies / trials <= limit + error
    if worth and n * limit > 2:
        assert shown / trials > limit, "it shows something"
