"""Prediction-powered means: coverage, agreement with ppi-python, and labels that carry probabilities."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from evidence.errors import BadInputError
from evidence.ppi import powered_mean, powered_sequence

Floats = NDArray[np.float64]


def draw(
    rng: np.random.Generator, n: int, *, uneven: bool = False
) -> tuple[Floats, Floats, Floats, Floats]:
    """Predictions, labels (NaN where not audited), probabilities, and all true labels."""
    truth = (rng.random(n) < 0.2).astype(float)
    f = np.clip(0.15 + 0.5 * truth + 0.15 * rng.normal(size=n), 0, 1)
    chance = np.clip(0.05 + 0.4 * f, 0.05, 0.5) if uneven else np.full(n, 0.15)
    labels = np.where(rng.random(n) < chance, truth, np.nan)
    return f, labels, chance, truth


@pytest.mark.parametrize("uneven", [False, True])
def test_coverage_in_a_thousand_simulations(uneven: bool) -> None:
    rng = np.random.default_rng(51)
    runs, covered = 1_000, 0
    for _ in range(runs):
        f, labels, chance, _ = draw(rng, 1_000, uneven=uneven)
        found = powered_mean(f, labels, chance)
        covered += found.lower <= 0.2 <= found.upper
    assert abs(covered / runs - 0.95) <= 2 * math.sqrt(0.95 * 0.05 / runs) + 0.005


def test_good_predictions_save_labels_and_useless_ones_cost_none() -> None:
    rng = np.random.default_rng(52)
    f, labels, chance, _ = draw(rng, 4_000)
    good = powered_mean(f, labels, chance)
    useless = powered_mean(rng.random(4_000), labels, chance)
    assert good.labels_saved > 0.5 * good.n_labelled
    assert abs(useless.labels_saved) < 0.05 * useless.n_labelled
    assert abs(useless.coefficient) < 0.1


def test_agrees_with_ppi_python() -> None:
    ppi = pytest.importorskip("ppi_py")
    rng = np.random.default_rng(53)
    f, labels, chance, _ = draw(rng, 3_000)
    f = np.clip(
        1.8 * f - 0.2, 0, 1
    )  # ppi-python cuts the coefficient at 1; here its optimum is less
    seen = ~np.isnan(labels)
    ours = powered_mean(f, labels, chance)
    theirs = ppi.ppi_mean_pointestimate(labels[seen], f[seen], f[~seen])
    low, high = ppi.ppi_mean_ci(labels[seen], f[seen], f[~seen], alpha=0.05)
    # Their coefficient is fitted in another, equally good way: alike but for its own chance error.
    assert ours.value == pytest.approx(float(np.ravel(theirs)[0]), abs=0.3 * ours.standard_error)
    same = ours.coefficient * (1 - seen.mean())  # theirs multiplies a difference of disjoint means
    at_ours = ppi.ppi_mean_pointestimate(labels[seen], f[seen], f[~seen], lam=same)
    assert ours.value == pytest.approx(float(np.ravel(at_ours)[0]), abs=0.03 * ours.standard_error)
    assert ours.upper - ours.lower == pytest.approx(float(np.ravel(high - low)[0]), rel=0.05)


def test_labels_chosen_by_prediction_need_their_probabilities() -> None:
    """Audits that prefer suspicious answers bias the plain mean of labels, not the estimate."""
    rng = np.random.default_rng(54)
    plain, weighted = [], []
    for _ in range(60):
        f, labels, chance, truth = draw(rng, 2_000, uneven=True)
        plain.append(np.nanmean(labels) - truth.mean())
        weighted.append(powered_mean(f, labels, chance).value - truth.mean())
    assert np.mean(plain) > 0.1
    assert abs(np.mean(weighted)) < 3 * np.std(weighted) / math.sqrt(60) + 0.001


def test_sequence_holds_at_all_times_at_once() -> None:
    rng = np.random.default_rng(55)
    runs, missed = 150, 0
    for _ in range(runs):
        f, labels, chance, _ = draw(rng, 600)
        lower, upper = powered_sequence(f, labels, chance, min_probability=0.15, error=0.1)
        missed += bool(np.any(lower > 0.2) or np.any(upper < 0.2))
    assert missed / runs <= 0.1
    assert 0 <= lower[-1] < 0.2 < upper[-1] <= 1


def test_refuses_what_it_cannot_use() -> None:
    f, labels, chance, _ = draw(np.random.default_rng(56), 500)
    with pytest.raises(BadInputError, match="at least 10 labels"):
        powered_mean(f[:20], np.full(20, np.nan), chance[:20])
    with pytest.raises(BadInputError, match="one length"):
        powered_mean(f[:-1], labels, chance)
    with pytest.raises(BadInputError, match="declared minimum"):
        powered_sequence(f, labels, chance, min_probability=0.5)
    with pytest.raises(BadInputError, match=r"\[0, 1\]"):
        powered_mean(f + 1, labels, chance)
