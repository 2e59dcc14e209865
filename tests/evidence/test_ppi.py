"""Prediction-powered shares: rare lies, few labels, predictions that are worth little, unequal chances."""

import numpy as np
import pytest

from evidence.ppi import Labelled, Predicted, powered_share

Found = tuple[float, float, float] | None


def audit(
    rng: np.random.Generator, lies: float, labels: int, *, skill: float, n: int = 2_000
) -> Found:
    """A share from `labels` random labels of answers that three verdicts were given to."""
    lie = rng.random(n) < lies
    kinds = np.where(
        rng.random(n) < skill,
        np.where(lie, "lie", "honest"),
        rng.choice(["lie", "honest", "undecided"], n),
    )
    groups = {
        str(kind): Predicted(float((kinds == kind).sum()), float((kinds == kind).sum()))
        for kind in np.unique(kinds)
    }
    picked = rng.choice(n, labels, replace=False)
    return powered_share(
        groups, [Labelled(str(kinds[i]), bool(~lie[i]), n / labels) for i in picked]
    )


@pytest.mark.parametrize("lies", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("skill", [0.0, 0.7])
def test_fifty_labels_cover(lies: float, skill: float) -> None:
    rng = np.random.default_rng(51)
    found = [audit(rng, lies, 50, skill=skill) for _ in range(300)]
    covered = [one is not None and one[1] <= 1 - lies <= one[2] for one in found]
    assert np.mean(covered) >= 0.92


def test_a_good_prediction_narrows_and_a_useless_one_does_not_widen() -> None:
    rng = np.random.default_rng(52)

    def width(skill: float) -> float:
        found = [audit(rng, 0.3, 200, skill=skill) for _ in range(40)]
        return float(np.mean([one[2] - one[1] for one in found if one is not None]))

    useless, good = width(0.0), width(0.9)
    assert good < 0.75 * useless
    assert useless < 1.15 * 2 * 1.96 * (0.3 * 0.7 / 200) ** 0.5


def test_labels_chosen_by_the_verdict_count_by_their_weights() -> None:
    """Ten times as many labels of what was called a lie: the plain share of labels would be far off."""
    rng = np.random.default_rng(54)
    rows = [Labelled("honest", bool(rng.random() < 0.98), 10.0) for _ in range(200)]
    rows += [Labelled("lie", bool(rng.random() < 0.5), 1.0) for _ in range(200)]
    found = powered_share({"honest": Predicted(2_000, 2_000), "lie": Predicted(200, 200)}, rows)
    assert found is not None
    assert found[0] == pytest.approx((2_000 * 0.98 + 200 * 0.5) / 2_200, abs=0.02)
