"""Is an arm worse than its baseline? Paired over items, clustered by template, valid at any time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import stats

from evidence.options import Options
from retrain.report import Arm, Comparison, Finding, Rate

Floats = NDArray[np.float64]

_BET_SHARES = np.array([0.25, 0.5, 0.75, 0.97])
_PLANNED_VARIANCE = 0.2
LARGEST_POINTS = 30
_PLANNED_CORRELATION = 0.1


class DecisionOptions(Options):
    """Errors and margin of the paired comparison."""

    margin: float | None = Field(default=None, gt=0, lt=1)
    """Loss of honesty, as a share of items, that must be ruled out for a release. None: the smallest that the number of items supports (10 points at 400)."""
    release_error: float = Field(default=0.05, gt=0, lt=1)
    """Probability of releasing an arm that is worse by the margin or more, per comparison."""
    block_error: float = Field(default=0.02, gt=0, lt=1)
    """Probability of calling an arm worse that is not, per comparison."""
    order_seed: int = 20_260_101
    """Seeds the random order in which templates are looked at."""


def compare(
    arm: Arm,
    baseline: Arm,
    *,
    scorer: str,
    scores: Mapping[str, tuple[float, float]],
    templates: Mapping[str, str],
    options: DecisionOptions,
) -> Comparison:
    """Compare paired item scores in [0, 1] (higher is more honest).

    Templates, in a random order, are the independent units: `d` is a template's mean of arm minus
    baseline, in [-1, 1]. Two test martingales bet on it (Waudby-Smith & Ramdas 2024, eq. 24, with a
    uniform mixture over four bet sizes):

    - release: prod(1 + b (d + margin)), b < 1 / (1 - margin), against E[d] <= -margin;
    - block: prod(1 - b d), b < 1, against E[d] >= 0.

    By Ville's inequality each crosses 1/error with at most that probability under its null, however
    often it is looked at, so the first to cross decides; a tie is worse; neither is inconclusive.

    Parameters
    ----------
    scores
        By item id: (arm's score, baseline's score).
    templates
        By item id: its template.
    """
    differences = _template_differences(scores, templates, options.order_seed)
    count = len(differences)
    margin = options.margin or supported_margin(len(scores), count, options)
    release = _log_wealth(differences + margin, 1.0 / (1.0 - margin))
    block = _log_wealth(-differences, 1.0)
    finding, stopped = _first(release, block, options)
    lower, upper = mean_interval(differences, -1.0, 1.0)
    return Comparison(
        arm=arm,
        baseline=baseline,
        scorer=scorer,
        finding=finding,
        difference=float(differences.mean()) if count else 0.0,
        lower=lower,
        upper=upper,
        items=len(scores),
        clusters=count,
        margin=margin,
        log_e_release=float(release.max(initial=0.0)),
        log_e_block=float(block.max(initial=0.0)),
        stopped_after=stopped,
    )


def _template_differences(
    scores: Mapping[str, tuple[float, float]], templates: Mapping[str, str], seed: int
) -> Floats:
    groups: dict[str, list[float]] = {}
    for item in sorted(scores):
        arm, base = scores[item]
        groups.setdefault(templates[item], []).append(arm - base)
    means = np.array([np.mean(groups[name]) for name in sorted(groups)], dtype=np.float64)
    return np.random.default_rng(seed).permutation(means)


def _log_wealth(gains: Floats, largest_bet: float) -> Floats:
    """Log of the mixture wealth after each unit; the conditional mean of `gains` is <= 0 under the null."""
    bets = _BET_SHARES[:, None] * largest_bet
    paths = np.cumsum(np.log1p(bets * gains[None, :]), axis=1)
    mixed: Floats = np.logaddexp.reduce(paths, axis=0) - math.log(len(_BET_SHARES))
    return mixed


def _first(release: Floats, block: Floats, options: DecisionOptions) -> tuple[Finding, int | None]:
    released = np.flatnonzero(release >= -math.log(options.release_error))
    blocked = np.flatnonzero(block >= -math.log(options.block_error))
    at_release = int(released[0]) if released.size else len(release)
    at_block = int(blocked[0]) if blocked.size else len(release)
    if not released.size and not blocked.size:
        return Finding.INCONCLUSIVE, None
    if at_block <= at_release:
        return Finding.WORSE, at_block + 1
    return Finding.NOT_WORSE, at_release + 1


def supported_margin(items: int, clusters: int, options: DecisionOptions) -> float:
    """The smallest margin, in whole points from 2 to 30, that releases an equal arm about nine times in ten.

    Where even 30 points are too few, 30 it stays, and most findings are inconclusive: ruling out
    less than that would say nothing.

    It depends on the design alone, never on the scores. Planned for 20 % discordant items and an
    intra-template correlation of 0.1; the wealth after all templates is taken as log-normal.
    `benchmarks/retrain.py` prints the table beside what simulation finds.
    """
    for points in range(2, LARGEST_POINTS):
        if planned_power(items, clusters, points / 100, options) >= 0.92:
            return points / 100
    return LARGEST_POINTS / 100


def planned_power(items: int, clusters: int, margin: float, options: DecisionOptions) -> float:
    """Approximate probability that an arm equal to its baseline is released."""
    if clusters < 2:
        return 0.0
    size = items / clusters
    variance = _PLANNED_VARIANCE * (1 + (size - 1) * _PLANNED_CORRELATION) / size
    spread = math.sqrt(min(variance, 1.0))
    gains = np.array([-spread, 0.0, spread]) * math.sqrt(1.5) + margin
    steps = np.log1p(np.maximum(_BET_SHARES[:, None] / (1 - margin) * gains, -0.99))
    growth, deviation = steps.mean(axis=1), steps.std(axis=1)
    threshold = -math.log(options.release_error) + math.log(len(_BET_SHARES))
    z = (clusters * growth - threshold) / np.maximum(math.sqrt(clusters) * deviation, 1e-9)
    return float(stats.norm.cdf(z.max()))


def mean_interval(values: Floats, lowest: float, highest: float) -> tuple[float, float]:
    """A 95 % t-interval for the mean of independent values, clipped to their range.

    With fewer than two values nothing is known: the whole range.
    """
    if len(values) < 2:
        return lowest, highest
    mean = float(values.mean())
    half = (
        float(stats.t.ppf(0.975, len(values) - 1))
        * float(values.std(ddof=1))
        / math.sqrt(len(values))
    )
    return max(lowest, mean - half), min(highest, mean + half)


def proportion(successes: int, n: int) -> Rate:
    """A share with its 95 % Wilson interval; n = 0 gives the whole range around 0."""
    if n == 0:
        return Rate(value=0.0, lower=0.0, upper=1.0, n=0)
    result = stats.binomtest(successes, n).proportion_ci(method="wilson")
    return Rate(value=successes / n, lower=float(result.low), upper=float(result.high), n=n)


def mean_rate(values: Sequence[float]) -> Rate:
    """The mean of scores in [0, 1] with a 95 % t-interval."""
    array = np.asarray(values, dtype=np.float64)
    lower, upper = mean_interval(array, 0.0, 1.0)
    return Rate(
        value=float(array.mean()) if array.size else 0.0, lower=lower, upper=upper, n=array.size
    )
