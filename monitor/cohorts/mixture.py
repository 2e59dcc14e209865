"""The population of raters: a mixture over the plane, fitted by expectation–maximisation.

Benign and biased raters each have Beta-distributed up-rates on honest answers and on lies, truncated
to their side of the margin; indifferent ones any rate that is the same on both. Nothing about
the rates is given: means, spreads and shares are fitted, with weak priors. The share of biased raters
is profiled: every other parameter is refitted at each of its values.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from monitor.cohorts.plane import (
    DIAGONAL,
    SIDE,
    THETA,
    UP_ON_HONEST,
    UP_ON_LIES,
    Float,
    beta_weights,
)

BENIGN, BIASED, INDIFFERENT = range(3)

# Prior means of (up on honest, up on lies) with the weight of this many raters; see docs/cohorts.md.
_PRIOR_MEAN = np.array([[0.75, 0.30], [0.40, 0.80]])
_PRIOR_RATERS = np.array([5.0, 10.0])
_PRIOR_VARIANCE = 0.02
_CONCENTRATION = (6.0, 80.0)
_CLASS_PRIOR = np.array([2.0, 0.2, 1.0])
_DIAGONAL_PRIOR = 0.5
# Raters of like activity share a class prior; this many raters' worth is borrowed from all.
_BORROWED = 60.0
_ACTIVITY_EDGES = np.array([3, 6, 12, 24, 48])
PROFILE: Float = np.concatenate(
    ([1e-4], np.arange(0.005, 0.1, 0.005), np.arange(0.1, 0.3, 0.01), np.arange(0.3, 0.72, 0.03))
)


@dataclasses.dataclass(frozen=True, slots=True)
class Population:
    """Parameters of the mixture.

    Parameters
    ----------
    mean, concentration
        Of the Betas, shape (2 classes, 2 kinds of answer): benign and biased; honest and lie.
    diagonal
        Weights of the indifferent rates, shape (SIDE,), sums to one.
    shares
        Class shares per activity bin, shape (bins, 3), rows sum to one.
    """

    mean: Float
    concentration: Float
    diagonal: Float
    shares: Float

    def cell_weights(self, margin: float) -> Float:
        """Mass of benign and biased raters in each cell, shape (CELLS, 2), columns sum to one."""
        biased_side = margin <= UP_ON_LIES - UP_ON_HONEST
        columns = []
        for k, allowed in ((BENIGN, ~biased_side), (BIASED, biased_side)):
            honest = beta_weights(self.mean[k, 0], self.concentration[k, 0])
            lies = beta_weights(self.mean[k, 1], self.concentration[k, 1])
            mass = np.outer(honest, lies).ravel() * allowed
            columns.append(mass / mass.sum())
        return np.stack(columns, axis=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """The posterior of the biased share: its values, their log-likelihoods, weights and fits."""

    share: Float
    log_likelihood: Float
    weight: Float
    populations: tuple[Population, ...]


def activity_bin(n_events: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bin of raters by their number of events."""
    return np.searchsorted(_ACTIVITY_EDGES, n_events, side="right")


def initial() -> Population:
    """Where every fit starts."""
    return Population(
        mean=_PRIOR_MEAN.copy(),
        concentration=np.full((2, 2), 12.0),
        diagonal=np.full(SIDE, 1 / SIDE),
        shares=np.tile([0.67, 0.03, 0.30], (len(_ACTIVITY_EDGES) + 1, 1)),
    )


def class_posteriors(
    scaled: NDArray[np.float32], bins: NDArray[np.int64], population: Population, margin: float
) -> tuple[Float, Float]:
    """Posterior class probabilities (raters, 3) and log of each rater's marginal likelihood."""
    cells = population.cell_weights(margin).astype(np.float32)
    class_likelihood = np.column_stack(
        (scaled @ cells, scaled[:, DIAGONAL] @ population.diagonal.astype(np.float32))
    ).astype(np.float64)
    joint = population.shares[bins] * class_likelihood
    total = np.maximum(joint.sum(axis=1), 1e-300)
    return joint / total[:, None], np.log(total)


def fit(
    scaled: NDArray[np.float32],
    bins: NDArray[np.int64],
    start: Population,
    *,
    margin: float,
    iterations: int,
    share: float | None = None,
    tolerance: float = 1e-3,
) -> tuple[Population, float]:
    """Expectation–maximisation from `start`, with the biased share held at `share` when given.

    Returns the fitted population and its log-likelihood (up to the rows' scale) with log-prior.
    Stops early when an iteration gains less than `tolerance`.
    """
    population, previous = start, -np.inf
    if share is not None:
        population = _held(population, bins, share)
    objective = previous
    for _ in range(iterations):
        proposal, objective = _step(scaled, bins, population, margin)
        if share is not None:
            proposal = _held(proposal, bins, share)
        population = proposal
        if objective - previous < tolerance:
            break
        previous = objective
    return population, objective


def profile(
    scaled: NDArray[np.float32], bins: NDArray[np.int64], best: Population, *, margin: float
) -> Profile:
    """Refit everything else at each biased share, outwards from the best fit."""
    here = float(np.bincount(bins, minlength=len(best.shares)) @ best.shares[:, BIASED] / len(bins))
    middle = int(np.argmin(np.abs(here - PROFILE)))
    found: dict[int, tuple[Population, float]] = {}
    for path in (range(middle, -1, -1), range(middle + 1, len(PROFILE))):
        start, top = best, -np.inf
        if middle in found:
            start, top = found[middle]
        for index in path:
            start, value = fit(
                scaled,
                bins,
                start,
                margin=margin,
                iterations=12,
                share=float(PROFILE[index]),
                tolerance=0.02,
            )
            found[index] = (start, value)
            top = max(top, value)
            if value < top - 12:
                break
    indices = sorted(found)
    share = PROFILE[indices]
    value = np.array([found[index][1] for index in indices])
    weight = np.exp(value - value.max()) * np.gradient(share) if len(share) > 1 else np.ones(1)
    return Profile(
        share=share,
        log_likelihood=value,
        weight=weight / weight.sum(),
        populations=tuple(found[index][0] for index in indices),
    )


def _step(
    scaled: NDArray[np.float32], bins: NDArray[np.int64], population: Population, margin: float
) -> tuple[Population, float]:
    cells = population.cell_weights(margin)
    cells32 = cells.astype(np.float32)
    on_diagonal = scaled[:, DIAGONAL]
    class_likelihood = np.column_stack(
        (scaled @ cells32, on_diagonal @ population.diagonal.astype(np.float32))
    ).astype(np.float64)
    shares = population.shares[bins]
    joint = shares * class_likelihood
    total = np.maximum(joint.sum(axis=1), 1e-300)
    posterior = joint / total[:, None]
    scale = (shares / total[:, None]).astype(np.float32)
    mass = cells * (scaled.T @ scale[:, :2]).astype(np.float64)
    diagonal = population.diagonal * (on_diagonal.T @ scale[:, INDIFFERENT]).astype(np.float64)
    objective = float(np.log(total).sum() + _log_prior(population))
    return _maximise(posterior, bins, mass, diagonal), objective


def _maximise(
    posterior: Float, bins: NDArray[np.int64], mass: Float, diagonal: Float
) -> Population:
    mean, concentration = np.empty((2, 2)), np.empty((2, 2))
    for k in (BENIGN, BIASED):
        square = mass[:, k].reshape(SIDE, SIDE)
        for kind, marginal in enumerate((square.sum(axis=1), square.sum(axis=0))):
            mean[k, kind], concentration[k, kind] = _moments(
                marginal, _PRIOR_MEAN[k, kind], _PRIOR_RATERS[k]
            )
    n_bins = len(_ACTIVITY_EDGES) + 1
    overall = posterior.sum(axis=0) + _CLASS_PRIOR
    overall /= overall.sum()
    by_bin = np.stack(
        [np.bincount(bins, weights=posterior[:, k], minlength=n_bins) for k in range(3)], axis=1
    )
    shares = by_bin + _BORROWED * overall
    smoothed = diagonal + _DIAGONAL_PRIOR
    return Population(
        mean=mean,
        concentration=concentration,
        diagonal=smoothed / smoothed.sum(),
        shares=shares / shares.sum(axis=1, keepdims=True),
    )


def _moments(marginal: Float, prior_mean: float, prior_raters: float) -> tuple[float, float]:
    """Mean and concentration of a Beta by moments, shrunk to the prior."""
    total = marginal.sum() + prior_raters
    mean = float((marginal @ THETA + prior_raters * prior_mean) / total)
    variance = float((marginal @ (THETA - mean) ** 2 + prior_raters * _PRIOR_VARIANCE) / total)
    concentration = mean * (1 - mean) / variance - 1
    return mean, float(np.clip(concentration, *_CONCENTRATION))


def _log_prior(population: Population) -> float:
    """Log-density of the priors that the maximisation uses, up to a constant."""
    away = population.mean - _PRIOR_MEAN
    beta = -0.5 * (_PRIOR_RATERS[:, None] * away**2 / _PRIOR_VARIANCE).sum()
    overall = population.shares.mean(axis=0)
    return float(
        beta
        + (_CLASS_PRIOR * np.log(np.maximum(overall, 1e-6))).sum()
        + _DIAGONAL_PRIOR * np.log(population.diagonal).sum()
    )


def _held(population: Population, bins: NDArray[np.int64], share: float) -> Population:
    """The population with its mean biased share over the raters moved to `share`."""
    raters = np.bincount(bins, minlength=len(population.shares)) / len(bins)
    now = np.clip(population.shares[:, BIASED], 1e-9, 1 - 1e-9)
    log_odds = np.log(now) - np.log1p(-now)
    lower, upper = -40.0, 40.0
    for _ in range(50):
        shift = (lower + upper) / 2
        if raters @ (1 / (1 + np.exp(-(log_odds + shift)))) < share:
            lower = shift
        else:
            upper = shift
    moved = 1 / (1 + np.exp(-(log_odds + (lower + upper) / 2)))
    shares = population.shares * ((1 - moved) / (1 - now))[:, None]
    shares[:, BIASED] = moved
    return dataclasses.replace(population, shares=shares)
