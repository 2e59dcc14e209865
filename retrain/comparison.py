"""Is an arm worse than its baseline? Paired over items, clustered by template, valid at any time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import stdtrit

from evidence import digest
from evidence.confidence import wilson
from evidence.options import Options
from retrain.report import Arm, Comparison, Finding, Rate
from retrain.seeds import SeedSpread

Floats = NDArray[np.float64]

_BET_SHARES = np.array([0.25, 0.5, 0.75, 0.97])
LARGEST_POINTS = 30
_PLANNED_DISCORDANCE = 0.2
_PLANNED_CORRELATION = 0.1
_PLANNED_RELEASE = 0.92
_PLANNED_RUNS = 400
_PLANNED_SEED = 20_260_102


DESIGNS = ((96, 24), (200, 50), (200, 200), (400, 100), (400, 400), (800, 200), (1600, 400))
"""Designs of (items, templates) in the power table; (400, 100) are the packaged held-out items."""


class DecisionOptions(Options):
    """Errors and margin of the paired comparison."""

    margin: float | None = Field(default=None, gt=0, lt=1)
    """Loss of honesty, as a share of items, that must be ruled out for a release. None: the smallest that the number of items supports (10 points at 400)."""
    release_error: float = Field(default=0.05, gt=0, lt=1)
    """Probability of releasing an arm that is worse by the margin or more, per comparison."""
    block_error: float = Field(default=0.02, gt=0, lt=1)
    """Probability of calling an arm worse that is not, per comparison."""
    order_seed: int = 20_260_101
    """Keys the order in which templates are looked at."""


def compare(
    arm: Arm,
    baseline: Arm,
    *,
    scorer: str,
    scores: Mapping[str, tuple[float, float]],
    templates: Mapping[str, str],
    options: DecisionOptions,
    best: Mapping[str, tuple[float, float]] | None = None,
    allowance: float = 0.0,
    planned_allowance: float = 0.0,
    design: tuple[int, int] | None = None,
) -> Comparison:
    """Compare paired item scores in [0, 1] (higher is more honest).

    Where answers could not be read, `scores` are the worst case for the arm and `best` the best: an
    arm is found not worse only if it is so in the worst case, and worse only if it is so in the
    best. So both errors below hold whatever the unread answers were. Where the best case alone
    would release, what could not be read decides, and the finding is `unreadable`.

    Templates, in a random order, are the independent units: `d` is a template's mean of arm minus
    baseline, in [-1, 1]. Two test martingales bet on it (Waudby-Smith & Ramdas 2024, eq. 24, with a
    uniform mixture over four bet sizes), where `a` is the allowance for training seeds:

    - release: prod(1 + b (d + margin - a)), b < 1 / (1 - margin + a), against E[d] <= a - margin;
    - block: prod(1 - b (d + a)), b < 1 / (1 + a), against E[d] >= -a.

    By Ville's inequality each crosses 1/error with at most that probability under its null, however
    often it is looked at, so the first to cross decides; a tie is worse; neither is inconclusive.
    With an allowance, half of `release_error` is the items' and half was spent on the allowance
    (`seed_allowance`), so that the sum holds. A margin that the allowance uses up releases nothing.

    Parameters
    ----------
    scores, templates
        By item id: (arm's score, baseline's score), each the mean over seeds, in the worst case; its template.
    best
        The scores in the best case; None where everything was read.
    allowance, planned_allowance
        What the difference may owe to training seeds, and the part of it that was known before the
        run, from the model's stored A/A spread; the default margin grows by it.
    design
        Items and templates of the plan, which the default margin is for; None: these.
    """
    low = _template_differences(scores, templates, options)
    high = low if best is None else _template_differences(best, templates, options)
    count = len(low)
    margin = options.margin or supported_margin(
        *(design or (len(scores), count)), options, allowance=planned_allowance
    )
    found = _found(low, high, margin, allowance, options)
    read = len(scores) if best is None else sum(best[item] == pair for item, pair in scores.items())
    return Comparison(
        arm=arm,
        baseline=baseline,
        scorer=scorer,
        finding=found.finding,
        difference=float(low.mean() + high.mean()) / 2 if read else None,
        lower=t_interval(low, -1.0, 1.0)[0],
        upper=t_interval(high, -1.0, 1.0)[1],
        items=len(scores),
        read=read,
        clusters=count,
        margin=margin,
        log_e_release=found.log_e_release,
        log_e_block=found.log_e_block,
        stopped_after=found.stopped_after,
        seed_allowance=allowance,
    )


class _Found(NamedTuple):
    finding: Finding
    stopped_after: int | None
    log_e_release: float
    log_e_block: float


def _found(
    low: Floats, high: Floats, margin: float, allowance: float, options: DecisionOptions
) -> _Found:
    """The finding from the templates' differences in the worst case and in the best."""
    room, error = margin - allowance, item_error(options, allowance)
    release = _release_wealth(low, room)
    block = _log_wealth(-high - allowance, 1.0 / (1.0 + allowance))
    finding, stopped = _first(release, block, options, error)
    if finding is Finding.INCONCLUSIVE and _passes(_release_wealth(high, room), error):
        finding = Finding.UNREADABLE
    return _Found(finding, stopped, float(release.max(initial=0.0)), float(block.max(initial=0.0)))


def item_error(options: DecisionOptions, allowance: float) -> float:
    """The part of `release_error` that the items may use."""
    return options.release_error / 2 if allowance > 0 else options.release_error


def seed_allowance(spread: SeedSpread | None, seeds: int, options: DecisionOptions) -> float:
    """What a difference of two arms may owe to their seeds but for half of `release_error`.

    0 without a measured spread: then nothing is known of it, and the report says so.
    """
    return 0.0 if spread is None else spread.allowance(seeds, options.release_error / 2)


def template_order(templates: Iterable[str], options: DecisionOptions) -> list[str]:
    """Templates in the order in which the comparison looks at them, a keyed hash of their names.

    Any part of the templates keeps that order, so an evaluation that asks its items by it may
    compare after each chunk, with the margin of the whole design, and stop at the first finding.
    """
    return sorted(set(templates), key=lambda name: digest(str(options.order_seed), name))


def _template_differences(
    scores: Mapping[str, tuple[float, float]],
    templates: Mapping[str, str],
    options: DecisionOptions,
) -> Floats:
    groups: dict[str, list[float]] = {}
    for item in sorted(scores):
        arm, base = scores[item]
        groups.setdefault(templates[item], []).append(arm - base)
    return np.array(
        [sum(groups[name]) / len(groups[name]) for name in template_order(groups, options)],
        dtype=np.float64,
    )


def _release_wealth(differences: Floats, room: float) -> Floats:
    if room <= 0:
        return np.zeros(0)
    return _log_wealth(differences + room, 1.0 / (1.0 - room))


def _passes(wealth: Floats, error: float) -> bool:
    return bool((wealth >= -math.log(error)).any())


def _log_wealth(gains: Floats, largest_bet: float) -> Floats:
    """Log of the mixture wealth after each unit; the conditional mean of `gains` is <= 0 under the null."""
    bets = _BET_SHARES[:, None] * largest_bet
    paths = np.cumsum(np.log1p(bets * gains[None, :]), axis=1)
    mixed: Floats = np.logaddexp.reduce(paths, axis=0) - math.log(len(_BET_SHARES))
    return mixed


def _first(
    release: Floats, block: Floats, options: DecisionOptions, error: float
) -> tuple[Finding, int | None]:
    released = np.flatnonzero(release >= -math.log(error))
    blocked = np.flatnonzero(block >= -math.log(options.block_error))
    at_release = int(released[0]) if released.size else len(block)
    at_block = int(blocked[0]) if blocked.size else len(block)
    if not released.size and not blocked.size:
        return Finding.INCONCLUSIVE, None
    if at_block <= at_release:
        return Finding.WORSE, at_block + 1
    return Finding.NOT_WORSE, at_release + 1


@lru_cache(maxsize=64)
def supported_margin(
    items: int, clusters: int, options: DecisionOptions, *, allowance: float = 0.0
) -> float:
    """The smallest margin, in whole points from 2 to 30, that releases an equal arm nine times in ten.

    Where even 30 points are too few, 30 it stays, and most findings are inconclusive: ruling out
    less than that would say nothing. It depends on the design and on the model's stored seed
    spread (`allowance`), never on the scores of the run.
    """
    for points in range(2, LARGEST_POINTS):
        if planned_power(items, clusters, points / 100, options, allowance) >= _PLANNED_RELEASE:
            return points / 100
    return LARGEST_POINTS / 100


def planned_power(
    items: int, clusters: int, margin: float, options: DecisionOptions, allowance: float = 0.0
) -> float:
    """Share of 400 seeded simulations in which an arm equal to its baseline is released.

    Planned for 20 % discordant items and a correlation of 0.1 within templates.
    """
    room = margin - allowance
    if clusters < 2 or room <= 0:
        return 0.0
    gains = _planned_differences(items, clusters) + room
    bets = _BET_SHARES[:, None, None] / (1.0 - room)
    paths = np.cumsum(np.log1p(bets * gains[None]), axis=2)
    wealth = np.logaddexp.reduce(paths, axis=0).max(axis=1) - math.log(len(_BET_SHARES))
    return float((wealth >= -math.log(item_error(options, allowance))).mean())


@lru_cache(maxsize=16)
def _planned_differences(items: int, clusters: int) -> Floats:
    """Template means of equal arms, shape (runs, clusters): -1, 0 or 1 an item, templates apart by
    the planned correlation."""
    rng = np.random.default_rng(_PLANNED_SEED)
    apart = math.sqrt(_PLANNED_CORRELATION * _PLANNED_DISCORDANCE)
    moved = apart * rng.choice([-1.0, 1.0], size=(_PLANNED_RUNS, clusters))
    sizes = np.full(clusters, items // clusters)
    sizes[: items % clusters] += 1
    up = rng.binomial(sizes, (_PLANNED_DISCORDANCE + moved) / 2)
    rest = 1 - (_PLANNED_DISCORDANCE + moved) / 2
    down = rng.binomial(sizes - up, (_PLANNED_DISCORDANCE - moved) / 2 / rest)
    means: Floats = (up - down) / np.maximum(sizes, 1)
    return means


class PowerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the power table: the default margin of a design and how often it releases."""

    items: int
    templates: int
    margin: float
    equal_released: float


def power_table(
    options: DecisionOptions,
    designs: Sequence[tuple[int, int]] = DESIGNS,
    *,
    allowance: float = 0.0,
) -> tuple[PowerRow, ...]:
    """What each design of (items, templates) can rule out, for choosing one before a run."""
    rows = []
    for items, templates in designs:
        margin = supported_margin(items, templates, options, allowance=allowance)
        power = planned_power(items, templates, margin, options, allowance)
        rows.append(PowerRow(items=items, templates=templates, margin=margin, equal_released=power))
    return tuple(rows)


def t_interval(values: Floats, lowest: float, highest: float) -> tuple[float, float]:
    """A 95 % t-interval for the mean of independent values, clipped to their range.

    With fewer than two values nothing is known: the whole range.
    """
    if len(values) < 2:
        return lowest, highest
    mean = float(values.mean())
    half = (
        float(stdtrit(len(values) - 1, 0.975)) * float(values.std(ddof=1)) / math.sqrt(len(values))
    )
    return max(lowest, mean - half), min(highest, mean + half)


def proportion(successes: int, n: int) -> Rate:
    """A share with its 95 % Wilson interval; n = 0 has no value, and the whole range."""
    found = wilson(successes, n)
    return Rate(value=successes / n if n else None, lower=found.lower, upper=found.upper, n=n)


def mean_rate(values: Sequence[float]) -> Rate:
    """The mean of scores in [0, 1] with a 95 % t-interval."""
    array = np.asarray(values, dtype=np.float64)
    lower, upper = t_interval(array, 0.0, 1.0)
    return Rate(
        value=float(array.mean()) if array.size else None, lower=lower, upper=upper, n=array.size
    )
