"""Rounds between who the raters are, what the judge is worth by topic, and what was true."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from monitor.cohorts.events import EventTable
from monitor.cohorts.mixture import Data, Profile, fit, initial, population_of, profile
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.plane import Float, cell_likelihoods, count, level_of, ups
from monitor.cohorts.population import Population, activity_bin
from monitor.cohorts.truth import Items, Judge, cavity, crowd, fit_judge, messages

# Quasi-Newton steps of each round, and of the last fit.
_STEPS, _LAST_STEPS = (40, 15, 15), 40


@dataclasses.dataclass(frozen=True, slots=True)
class Fitted:
    """The fitted population with what the raters are classified from.

    Parameters
    ----------
    counts, bins
        Ups and downs per level (`plane.count`) and activity bin, one row a rater code.
    p_lie
        P(lie) of each event's response from the judge and everyone but the event's rater.
    """

    profile: Profile
    population: Population
    judge: Judge
    counts: csr_matrix
    bins: NDArray[np.int64]
    p_lie: Float


def fit_rounds(rated: EventTable, truth: Float, options: CohortOptions) -> Fitted:
    """Fit the population to measured events.

    Parameters
    ----------
    truth
        Audited truth per response code: 1 a lie, 0 honest, NaN unknown.
    """
    items = Items.of(rated, truth)
    judge = Judge.as_given(len(rated.topics))
    n_events = np.bincount(rated.rater, minlength=len(rated.raters))
    bins = activity_bin(n_events)
    chosen = _chosen(n_events, options.max_fit_raters)
    is_rated = np.bincount(rated.response, minlength=len(rated.responses)) > 0
    up, weight = ups(rated), np.ones(len(rated))
    q = 1 / (1 + np.exp(-items.prior(judge)[rated.response]))
    vector = initial()
    for steps in (*_STEPS, None):
        level = level_of(q)
        counts = count(rated.rater, level, up, weight, len(rated.raters))
        scaled = cell_likelihoods(counts[chosen])
        data = Data(scaled=scaled, bins=bins[chosen], margin=options.margin)
        vector, _ = fit(data, vector, iterations=steps or _LAST_STEPS)
        population = population_of(vector, data.activity)
        if steps is None:
            break
        message = messages(rated, counts, bins, level, population)
        judge = fit_judge(items, is_rated, crowd(rated, message, weight), judge)
        weight = np.where(judge.contested[rated.topic], 0.0, 1.0)
        q = cavity(rated, items, judge, message, weight)
    return Fitted(
        profile=profile(data, vector),
        population=population,
        judge=judge,
        counts=counts,
        bins=bins,
        p_lie=q,
    )


def _chosen(n_events: NDArray[np.int64], at_most: int) -> NDArray[np.int64]:
    """Raters to fit on: all, or an evenly spaced subsample of those who rated at all."""
    present = np.flatnonzero(n_events > 0)
    if len(present) <= at_most:
        return present
    return present[np.linspace(0, len(present) - 1, at_most).astype(np.int64)]
