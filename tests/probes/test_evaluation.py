from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from probes.evaluation import auroc, balanced_accuracy, figures


def test_figures_equal_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 300)
    score = np.round(label * 0.5 + rng.normal(size=300), 1)
    assert auroc(label, score) == pytest.approx(roc_auc_score(label, score))
    assert balanced_accuracy(label, score > 0.2) == pytest.approx(
        balanced_accuracy_score(label, score > 0.2)
    )


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(60):
        label = rng.integers(0, 2, 120)
        score = rng.normal(size=120) + label
        (row,) = figures(
            ["a"] * 120,
            label,
            score,
            [str(k) for k in range(120)],
            threshold=0.5,
            rng=rng,
            draws=100,
        )
        lower, upper = row.auroc.lower, row.auroc.upper
        assert lower is not None
        assert upper is not None
        hits += lower <= 0.7602 <= upper  # P(N(1, 2) > 0)
    assert hits >= 51


def test_repeats_of_one_scenario_do_not_shrink_the_interval() -> None:
    rng = np.random.default_rng(2)
    label, score = rng.integers(0, 2, 40), rng.normal(size=40)
    once = figures(["a"] * 40, label, score, [str(k) for k in range(40)], threshold=0.5, rng=rng)[0]
    many = figures(
        ["a"] * 400,
        np.tile(label, 10),
        np.tile(score, 10),
        [str(k) for k in range(40)] * 10,
        threshold=0.5,
        rng=rng,
    )[0]
    width = [(row.auroc.upper or 0) - (row.auroc.lower or 0) for row in (once, many)]
    assert width[1] == pytest.approx(width[0], rel=0.25)


def test_what_was_not_measured_is_counted_and_enters_nothing() -> None:
    rows = figures(
        ["a", "a", "b", "b"],
        [1, 0, 1, 1],
        [0.9, 0.1, np.nan, 0.4],
        ["1", "2", "3", "4"],
        threshold=0.5,
        rng=np.random.default_rng(0),
    )
    assert [(row.kind, row.n, row.lies, row.unmeasured) for row in rows] == [
        ("a", 2, 1, 0),
        ("b", 1, 1, 1),
        ("all", 3, 2, 1),
    ]
    assert rows[1].auroc.value is None
