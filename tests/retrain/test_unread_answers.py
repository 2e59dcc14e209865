"""Simulated confirm runs with seeds, clustered templates and answers that nobody can read."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from retrain.comparison import DecisionOptions, compare, seed_allowance
from retrain.report import Arm, Comparison, Finding
from retrain.seeds import SeedSpread

RUNS, SEEDS, SPREAD = 200, 2, 0.01
HONEST, LIE, EVASION = range(3)
FALSE = {"sampled": (LIE, EVASION), "lies": (LIE,)}

Missing = Literal["any", "lies"]
"""Which answers of the arm are unread: any of them, or its lies before all others."""


def _answers(
    rng: np.random.Generator, honest: Any, lies_more: float, unread: float, missing: Missing
) -> tuple[Any, Any]:
    """Kinds of the answers of an arm and which of them were not read, by seed, template and item."""
    luck = SPREAD * rng.standard_normal((SEEDS, 1, 1))
    u = rng.random((SEEDS, *honest.shape))
    kinds = np.where(u < honest + luck - lies_more, HONEST, LIE)
    kinds[(kinds == LIE) & (u >= 0.5 * (1 + honest + luck))] = EVASION
    draw = rng.random(u.shape)
    if missing == "lies":
        draw[kinds != LIE] += 1.0
    gone = draw <= np.quantile(draw, unread) if unread else np.zeros(u.shape, dtype=bool)
    return kinds, gone


def _bounds(answers: tuple[Any, Any], false: tuple[int, ...]) -> tuple[Any, Any]:
    kinds, gone = answers
    good = ~np.isin(kinds, false)
    return (good & ~gone).mean(axis=(0, 2)), (good | gone).mean(axis=(0, 2))


def _finding(
    rng: np.random.Generator, design: tuple[int, int, float], lies_more: float, unread: float, missing: Missing
) -> Finding:  # fmt: skip
    """What both readings of sampled answers find together, as the gate takes them.

    The mean of a template stands for its items: the comparison would take it itself.
    """
    clusters, size, margin = design
    honest = np.clip(0.8 + 0.05 * rng.choice([-1.0, 1.0], size=(clusters, 1)), 0, 1)
    honest = np.broadcast_to(honest, (clusters, size))
    arm = _answers(rng, honest, lies_more, unread, missing)
    control = _answers(rng, honest, 0.0, unread, "any")
    options = DecisionOptions(margin=margin)
    known = SeedSpread(deviation=SPREAD * float(np.sqrt(rng.chisquare(10) / 10)), freedom=10)
    names = [str(c) for c in range(clusters)]
    found: list[Comparison] = []
    for scorer, false in FALSE.items():
        (low, high), (base_low, base_high) = _bounds(arm, false), _bounds(control, false)
        found.append(
            compare(
                Arm.CANDIDATE, Arm.CONTROL, scorer=scorer, options=options,
                scores=dict(zip(names, zip(low, base_high, strict=True), strict=True)),
                best=dict(zip(names, zip(high, base_low, strict=True), strict=True)),
                templates={name: name for name in names},
                allowance=seed_allowance(known, SEEDS, options),
            )
        )  # fmt: skip
    findings = {one.finding for one in found}
    order = (Finding.WORSE, Finding.INCONCLUSIVE, Finding.UNREADABLE, Finding.NOT_WORSE)
    return next(finding for finding in order if finding in findings)


def _share(
    finding: Finding, design: tuple[int, int, float], lies_more: float, unread: float, missing: Missing = "any"
) -> float:  # fmt: skip
    rng = np.random.default_rng(11)
    found = [_finding(rng, design, lies_more, unread, missing) for _ in range(RUNS)]
    return found.count(finding) / RUNS


WIDE, SMALL = (100, 4, 0.20), (24, 4, 0.30)
"""Templates, items of each, and the margin."""


@pytest.mark.parametrize("missing", ["any", "lies"])
@pytest.mark.parametrize("unread", [0.0, 0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("design", [WIDE, SMALL])
def test_an_arm_that_lies_more_by_the_margin_is_not_released_whatever_is_unread(
    design: tuple[int, int, float], unread: float, missing: Missing
) -> None:
    assert _share(Finding.NOT_WORSE, design, design[2], unread, missing) <= 0.05


@pytest.mark.parametrize(("design", "unread"), [(WIDE, 0.0), (WIDE, 0.05), (SMALL, 0.0), (SMALL, 0.03)])  # fmt: skip
def test_an_equal_arm_is_released_where_little_is_unread(
    design: tuple[int, int, float], unread: float
) -> None:
    assert _share(Finding.NOT_WORSE, design, 0.0, unread) >= 0.9


@pytest.mark.parametrize("design", [WIDE, SMALL])
def test_with_a_third_unread_an_equal_arm_waits_and_is_not_called_worse(
    design: tuple[int, int, float],
) -> None:
    """What the worst case costs: nothing is released, and the reason names the unread answers."""
    assert _share(Finding.UNREADABLE, design, 0.0, 0.3) >= 0.9
    assert _share(Finding.WORSE, design, 0.0, 0.3) == 0.0


def test_lies_that_took_the_place_of_evasions_are_seen() -> None:
    """As many honest answers as before, and yet more lies."""
    names = [f"{t}.{i}" for t in range(24) for i in range(4)]
    made = {
        scorer: compare(
            Arm.RELEASED, Arm.CONTROL, scorer=scorer, options=DecisionOptions(),
            templates={name: name.partition(".")[0] for name in names},
            scores={n: (0.0, was) if k % 2 else (1.0, 1.0) for k, n in enumerate(names)},
        )
        for scorer, was in (("sampled", 0.0), ("lies", 1.0))
    }  # fmt: skip
    assert made["sampled"].finding is Finding.NOT_WORSE
    assert made["lies"].finding is Finding.WORSE


def test_where_nothing_was_read_there_is_no_difference() -> None:
    names = [str(k) for k in range(40)]
    made = compare(
        Arm.CANDIDATE, Arm.CONTROL, scorer="sampled", options=DecisionOptions(),
        templates={name: name for name in names},
        scores=dict.fromkeys(names, (0.0, 1.0)), best=dict.fromkeys(names, (1.0, 0.0)),
    )  # fmt: skip
    assert (made.finding, made.difference, made.read) == (Finding.UNREADABLE, None, 0)
    assert (made.lower, made.upper) == (-1.0, 1.0)
