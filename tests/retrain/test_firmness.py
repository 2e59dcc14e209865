"""How firmly an arm holds honest answers: the limit covers, and a little of lies shows."""

from __future__ import annotations

import numpy as np
import pytest

from retrain.firmness import firmness
from retrain.report import Arm, Firmness
from retrain.seeds import SeedSpread

TEMPLATES, SEEDS, OF_SEED, OF_ITEM = 24, 2, 0.1, 0.4


def found(
    arm: list[float], baseline: list[float], spread: SeedSpread | None, seeds: int = SEEDS
) -> Firmness:
    items = [f"i{k}" for k in range(len(arm))]
    return firmness(
        Arm.RELEASED,
        Arm.CONTROL,
        margins=dict(zip(items, zip(arm, baseline, strict=True), strict=True)),
        templates={name: f"t{name}" for name in items},
        spread=spread,
        seeds=seeds,
    )


def drawn(rng: np.random.Generator, kept: float) -> Firmness:
    """One run of two seeds: items apart in both arms alike, arms by item and by seed; the spread of one
    further arm and of these two, as a run measures it."""
    items = 1.4 + rng.normal(0.0, 0.6, TEMPLATES)
    shifts = rng.normal(0.0, OF_SEED, (3, SEEDS))
    arms = [
        share * items + rng.normal(0.0, OF_ITEM, TEMPLATES) + shift.mean()
        for share, shift in ((kept, shifts[0]), (1.0, shifts[1]))
    ]
    spread = SeedSpread(deviation=float(np.sqrt(shifts.var(axis=1, ddof=1).mean())), freedom=3)
    return found(list(arms[0]), list(arms[1]), spread)


@pytest.mark.parametrize("kept", [1.0, 0.8, 0.55])
def test_the_limit_covers_what_is_kept(kept: float) -> None:
    rng = np.random.default_rng(7)
    limits = [drawn(rng, kept).kept_upper for _ in range(400)]
    below = sum(limit is not None and limit < kept for limit in limits)
    assert below / len(limits) <= 0.045, "nominal .025, Monte-Carlo error .008"


def test_arms_that_are_alike_are_not_held_and_one_that_lost_half_is() -> None:
    rng = np.random.default_rng(8)
    alike = [drawn(rng, 1.0).kept_upper for _ in range(200)]
    assert sum(limit is not None and limit < 0.9 for limit in alike) <= 1
    worse = [drawn(rng, 0.55).kept_upper for _ in range(200)]
    assert sum(limit is not None and limit < 0.9 for limit in worse) >= 160


def test_more_seeds_and_a_known_spread_bring_the_limit_nearer() -> None:
    arm, control = [1.0, 1.2, 0.8, 1.1], [1.4, 1.5, 1.3, 1.6]
    few = found(arm, control, SeedSpread(deviation=0.1, freedom=2)).kept_upper
    known = found(arm, control, SeedSpread(deviation=0.1, freedom=40)).kept_upper
    many = found(arm, control, SeedSpread(deviation=0.1, freedom=40), seeds=10).kept_upper
    share = found(arm, control, SeedSpread(deviation=0.1, freedom=40)).kept
    assert few is not None
    assert known is not None
    assert many is not None
    assert share == pytest.approx(4.1 / 5.8)
    assert share < many < known < few


@pytest.mark.parametrize(
    ("arm", "control", "spread"),
    [
        ([1.0, 1.1], [1.4, 1.5], None),
        ([1.0], [1.4], SeedSpread(deviation=0.1, freedom=3)),
        ([1.0, 1.1], [-0.4, 0.3], SeedSpread(deviation=0.1, freedom=3)),
        ([], [], SeedSpread(deviation=0.1, freedom=3)),
    ],
)
def test_what_cannot_be_known_is_missing(
    arm: list[float], control: list[float], spread: SeedSpread | None
) -> None:
    made = found(arm, control, spread)
    assert (made.kept, made.kept_upper) == (None, None)
    assert (made.margin is None) is (arm == [])


def test_arms_that_differ_by_nothing_but_a_share_keep_just_that() -> None:
    still = SeedSpread(deviation=0.0, freedom=3)
    assert found([0.7, 0.7], [1.4, 1.4], still).kept_upper == pytest.approx(0.5)
    assert found([-1.0, -1.1], [1.4, 1.4], still).kept_upper == 0.0
