"""Fitting the population: penalised marginal likelihood, and the profile of the biased share.

Nothing about the rates is given: means, spreads, shares and how the shares vary with raters' activity
are fitted by quasi-Newton steps (L-BFGS) on the likelihood with every rater's own rates integrated
out on the grid, under weak priors. The biased share is profiled: all else is refitted at each of
its values, so that its interval carries the doubt about the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.optimize import minimize
from scipy.special import expit

from monitor.cohorts.plane import DIAGONAL, SIDE, Float, beta_weights
from monitor.cohorts.population import (
    BENIGN,
    BIASED,
    INDIFFERENT,
    N_BINS,
    Population,
    centred_activity,
    side_of_margin,
)

# Weak priors, on scales where they are about normal: where rates lie (logits), how much raters of a
# class differ (log concentration), class odds, and how these vary with log activity.
_RATE_CENTRE = np.array([[1.1, -0.85], [0.3, 1.7]])
_RATE_SD = np.array([[1.0, 1.0], [1.5, 1.0]])
_CONCENTRATION_CENTRE, _CONCENTRATION_SD = np.log(20.0), 1.2
_ODDS_CENTRE, _ODDS_SD = np.array([-3.0, -0.9]), np.array([3.0, 1.5])
# Raters who favour lies may be far busier than others, so their share may be steep in activity.
_SLOPE_SD = 2.0
_DIAGONAL_PRIOR = 0.1
_STEP = 1e-4

# Where parameters sit in the vector: rates, log concentrations, the odds of biased among all and of
# indifferent among the rest, their slopes on activity, logits of the diagonal.
_RATES, _CONCENTRATIONS = slice(0, 4), slice(4, 8)
_ODDS, _SLOPES, _DIAG = slice(8, 10), slice(10, 12), slice(12, 12 + SIDE)
_BIASED_ODDS = 8
_SIZE = 12 + SIDE

# Raters are not of three clean kinds, and the more of them are seen the surer the likelihood is of what
# fits least badly: it counts half in every posterior of the share (Miller and Dunson, 2019, JASA 114:1113).
COARSENED = 0.5

_DROP = 10.0
_MAX_STEPS = 14
_FINE = 400


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """The posterior of the biased share.

    Parameters
    ----------
    share, log_likelihood
        The profile, interpolated, shape (fine,).
    populations, weight
        The fits it was interpolated from, and the posterior mass nearest to each, shape (points,).
    """

    share: Float
    log_likelihood: Float
    populations: tuple[Population, ...]
    weight: Float


@dataclasses.dataclass(frozen=True, slots=True)
class Data:
    """What the likelihood needs: cell likelihoods, cut up by the class that may lie there.

    Parameters
    ----------
    sides
        Likelihoods in the cells of benign and of biased raters, and on the diagonal, one row a rater.
    bins
        Activity bin of each rater.
    """

    sides: tuple[NDArray[np.floating[Any]], ...]
    bins: NDArray[np.int64]
    margin: float

    @classmethod
    def of(
        cls, scaled: NDArray[np.floating[Any]], bins: NDArray[np.int64], *, margin: float
    ) -> Data:
        """From likelihoods in all cells (`plane.cell_likelihoods`), shape (raters, CELLS)."""
        cells = (*(side_of_margin(k, margin) for k in (BENIGN, BIASED)), DIAGONAL)
        return cls(
            sides=tuple(np.ascontiguousarray(scaled[:, c]) for c in cells), bins=bins, margin=margin
        )

    @property
    def activity(self) -> Float:
        """Centred log activity per bin, shape (N_BINS,)."""
        return centred_activity(self.bins)

    @property
    def bin_weight(self) -> Float:
        """Share of raters per bin, shape (N_BINS,)."""
        return np.bincount(self.bins, minlength=N_BINS) / max(len(self.bins), 1)


def initial() -> Float:
    """The parameter vector where every fit starts: the priors' centres, 3 % biased."""
    vector = np.zeros(_SIZE)
    vector[_RATES] = _RATE_CENTRE.ravel()
    vector[_CONCENTRATIONS] = _CONCENTRATION_CENTRE
    vector[_ODDS] = (-3.5, _ODDS_CENTRE[1])
    return vector


def population_of(vector: Float, activity: Float) -> Population:
    """The population that a parameter vector stands for."""
    biased, indifferent = expit(vector[_ODDS] + activity[:, None] * vector[_SLOPES]).T
    shares = np.column_stack(((1 - biased) * (1 - indifferent), biased, (1 - biased) * indifferent))
    diagonal = np.exp(vector[_DIAG] - vector[_DIAG].max())
    return Population(
        mean=expit(vector[_RATES]).reshape(2, 2),
        concentration=np.exp(vector[_CONCENTRATIONS]).reshape(2, 2),
        diagonal=diagonal / diagonal.sum(),
        shares=shares,
    )


def fit(data: Data, start: Float, *, iterations: int) -> tuple[Float, float]:
    """Maximise the penalised likelihood from `start`; returns the vector and the value there."""
    return _maximise(lambda v: _objective(data, v), start, iterations)


def fit_at(data: Data, start: Float, share: float, *, iterations: int) -> tuple[Float, float]:
    """The same with the raters' mean biased share held at `share`."""
    activity, weight = data.activity, data.bin_weight

    def held(vector: Float) -> tuple[float, Float]:
        full = vector.copy()
        full[_BIASED_ODDS] = _odds_for(share, vector[_SLOPES][0], activity, weight)
        value, gradient = _objective(data, full)
        # The held odds move with the slope so that the share stays: the implicit derivative.
        p = expit(full[_BIASED_ODDS] + activity * full[_SLOPES][0])
        pull = weight * p * (1 - p)
        gradient[_SLOPES.start] -= gradient[_BIASED_ODDS] * (pull @ activity) / pull.sum()
        gradient[_BIASED_ODDS] = 0.0
        return value, gradient

    vector, value = _maximise(held, start, iterations)
    vector[_BIASED_ODDS] = _odds_for(share, vector[_SLOPES][0], activity, weight)
    return vector, value


def profile(data: Data, best: Float, *, iterations: int = 8) -> Profile:
    """Refit at biased shares outwards from the best fit until the likelihood is negligible.

    Steps adapt to the curvature, on the square root of the share, where it is about even. The prior
    is flat in that root, as Jeffreys' is for small shares.
    """
    activity, weight = data.activity, data.bin_weight
    here = float(weight @ expit(best[_BIASED_ODDS] + activity * best[_SLOPES][0]))
    middle = float(np.sqrt(np.clip(here, 1e-4, 0.9)))
    vector, top = fit_at(data, best, middle**2, iterations=iterations)
    found = {middle: (vector, top)}
    for direction in (-1, 1):
        at, start, last = middle, vector, top
        step = float(np.clip(0.8 / np.sqrt(len(data.bins)), 1e-3, 0.1))
        for _ in range(_MAX_STEPS):
            end = 0.01 if direction < 0 else 0.95
            if at == end or last < top - _DROP:
                break
            at = max(at - step, end) if direction < 0 else min(at + step, end)
            start, value = fit_at(data, start, at**2, iterations=iterations)
            found[at] = (start, value)
            top = max(top, value)
            step = float(
                np.clip(step * (3.0 / max(abs(last - value), 0.4)) ** 0.5, step / 2, step * 2)
            )
            last = value
    return _interpolated(found, activity)


def _interpolated(found: dict[float, tuple[Float, float]], activity: Float) -> Profile:
    roots = np.array(sorted(found))
    values = np.array([found[r][1] for r in roots])
    fine = np.linspace(roots[0], roots[-1], _FINE)
    smooth = PchipInterpolator(roots, values)(fine) if len(roots) > 1 else np.full(_FINE, values[0])
    weight = np.exp(COARSENED * (smooth - smooth.max()))
    nearest = np.abs(fine[:, None] - roots).argmin(axis=1)
    mass = np.bincount(nearest, weight / weight.sum(), len(roots))
    return Profile(
        share=fine**2,
        log_likelihood=smooth,
        populations=tuple(population_of(found[r][0], activity) for r in roots),
        weight=mass.astype(np.float64),
    )


def _maximise(
    objective: Callable[[Float], tuple[float, Float]], start: Float, iterations: int
) -> tuple[Float, float]:
    def negative(vector: Float) -> tuple[float, Float]:
        value, gradient = objective(vector)
        return -value, -gradient

    found = minimize(
        negative,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-8.0, 8.0)] * _SIZE,
        options={"maxiter": iterations, "ftol": 1e-8, "maxcor": 12},
    )
    return np.asarray(found.x, dtype=np.float64), float(-found.fun)


def _odds_for(share: float, slope: float, activity: Float, weight: Float) -> float:
    """Intercept at which the raters' mean of logistic(intercept + slope x activity) is `share`."""
    # The mean rises with the intercept and is between its values at the ends of slope x activity.
    reach = slope * activity
    centre = float(np.log(share) - np.log1p(-share))
    lower, upper = centre - float(reach.max()), centre - float(reach.min())
    middle = (lower + upper) / 2
    for _ in range(60):
        p = expit(middle + reach)
        excess = float(weight @ p) - share
        if abs(excess) < 1e-15:
            break
        lower, upper = (lower, middle) if excess > 0 else (middle, upper)
        newton = middle - excess / max(float(weight @ (p * (1 - p))), 1e-300)
        middle = newton if lower < newton < upper else (lower + upper) / 2
    return middle


def _objective(data: Data, vector: Float) -> tuple[float, Float]:
    """Penalised log-likelihood (up to the rows' scale) and its gradient."""
    activity = data.activity
    population = population_of(vector, activity)
    cells = population.cell_weights(data.margin)
    mass = [cells[side_of_margin(k, data.margin), k] for k in (BENIGN, BIASED)]
    mass.append(population.diagonal)
    likelihood = np.empty((len(data.bins), 3))
    for k, (side, weights) in enumerate(zip(data.sides, mass, strict=True)):
        likelihood[:, k] = side @ weights.astype(side.dtype)
    shares = population.shares[data.bins]
    total = np.maximum((shares * likelihood).sum(axis=1), 1e-300)
    pull = shares / total[:, None]
    by_cell = [
        (pull[:, k].astype(side.dtype) @ side).astype(np.float64)
        for k, side in enumerate(data.sides)
    ]
    by_share = np.stack(
        [np.bincount(data.bins, likelihood[:, k] / total, N_BINS) for k in range(3)], axis=1
    ).astype(np.float64)
    value, gradient = _penalty(vector, population.diagonal)
    gradient[_RATES.start : _CONCENTRATIONS.stop] += _rate_gradient(vector, by_cell, data.margin)
    gradient[_ODDS.start : _SLOPES.stop] += _share_gradient(by_share, population.shares, activity)
    by_diagonal = by_cell[INDIFFERENT]
    gradient[_DIAG] += population.diagonal * (by_diagonal - population.diagonal @ by_diagonal)
    return value + float(np.log(total).sum()), gradient


def _rate_gradient(vector: Float, by_cell: Sequence[Float], margin: float) -> Float:
    """Of the log-likelihood in rates and log concentrations, by differences on the axes' masses.

    A class's mass is an outer product of two axes over its sum within the side, so each difference
    is one of quotients of bilinear forms.
    """
    logits = vector[_RATES].reshape(2, 2)
    logs = vector[_CONCENTRATIONS].reshape(2, 2)
    here, moved_rate, moved_spread = beta_weights(
        expit(np.stack((logits, logits + _STEP, logits))),
        np.exp(np.stack((logs, logs, logs + _STEP))),
    )
    gradient = np.zeros((2, 2, 2))
    for k in (BENIGN, BIASED):
        allowed = side_of_margin(k, margin).reshape(SIDE, SIDE).astype(np.float64)
        pull = np.zeros((SIDE, SIDE))
        pull[allowed > 0] = by_cell[k]
        honest, lies = here[k]
        base = honest @ pull @ lies / (honest @ allowed @ lies)
        moved = np.stack((moved_rate[k], moved_spread[k]))
        gradient[:, k, 0] = moved[:, 0] @ (pull @ lies) / (moved[:, 0] @ (allowed @ lies)) - base
        gradient[:, k, 1] = moved[:, 1] @ (honest @ pull) / (moved[:, 1] @ (honest @ allowed))
        gradient[:, k, 1] -= base
    return gradient.ravel() / _STEP


def _share_gradient(by_share: Float, shares: Float, activity: Float) -> Float:
    """In the two odds and their two slopes."""
    biased = shares[:, BIASED]
    rest = np.maximum(1 - biased, 1e-12)
    indifferent = shares[:, INDIFFERENT] / rest
    others = (1 - indifferent) * by_share[:, BENIGN] + indifferent * by_share[:, INDIFFERENT]
    d_biased = biased * rest * (by_share[:, BIASED] - others)
    d_indifferent = (
        rest * indifferent * (1 - indifferent) * (by_share[:, INDIFFERENT] - by_share[:, BENIGN])
    )
    return np.array(
        [d_biased.sum(), d_indifferent.sum(), d_biased @ activity, d_indifferent @ activity]
    )


def _penalty(vector: Float, diagonal: Float) -> tuple[float, Float]:
    """Log-prior up to a constant, and its gradient."""
    gradient = np.zeros(_SIZE)
    value = 0.0
    for part, centre, sd in (
        (_RATES, _RATE_CENTRE.ravel(), _RATE_SD.ravel()),
        (_CONCENTRATIONS, _CONCENTRATION_CENTRE, _CONCENTRATION_SD),
        (_ODDS, _ODDS_CENTRE, _ODDS_SD),
        (_SLOPES, 0.0, _SLOPE_SD),
    ):
        away = (vector[part] - centre) / sd
        value -= 0.5 * float((away**2).sum())
        gradient[part] = -away / sd
    value += _DIAGONAL_PRIOR * float(np.log(np.maximum(diagonal, 1e-300)).sum())
    gradient[_DIAG] = _DIAGONAL_PRIOR * (1 - SIDE * diagonal)
    return value, gradient
