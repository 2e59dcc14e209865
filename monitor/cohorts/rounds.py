"""Rounds between who the raters are, what the judge is worth by topic, and what was true."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import expit

from monitor.cohorts.events import EventTable
from monitor.cohorts.mixture import Data, Profile, fit, initial, population_of, profile
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.plane import Float, cell_likelihoods, level_of
from monitor.cohorts.population import Population, activity_bin
from monitor.cohorts.truth import Items, Judge, cavity, crowd, fit_judge, messages
from monitor.cohorts.votes import Float32, Votes

# Quasi-Newton steps of each round, and of the last fit.
_STEPS, _LAST_STEPS = (40, 15, 15), 40


@dataclasses.dataclass(frozen=True, slots=True)
class Fitted:
    """The fitted population with what the raters are classified from.

    Parameters
    ----------
    counts, bins
        Ups and downs per level (`plane.count`) and activity bin, one row a rater code.
    log_odds, message
        Of a lie for each event's response without the event's rater, and what the event itself says
        of it, in the votes' order.
    prior, total
        Per response: the judge's log-odds, and the sum of the messages.
    """

    profile: Profile
    population: Population
    judge: Judge
    votes: Votes
    counts: csr_matrix
    bins: NDArray[np.int64]
    log_odds: Float32
    message: Float32
    prior: Float
    total: Float

    @property
    def lies(self) -> Float:
        """Expected number of dishonest responses that each rater rated."""
        p = expit(self.log_odds)
        return np.bincount(self.votes.rater, p, len(self.bins)).astype(np.float64)


def fit_rounds(rated: EventTable, truth: Float, options: CohortOptions) -> Fitted:
    """Fit the population to measured events.

    Parameters
    ----------
    truth
        Audited truth per response code: 1 a lie, 0 honest, NaN unknown.
    """
    items = Items.of(rated, truth)
    votes = Votes.of(rated)
    judge = Judge.as_given(len(rated.topics))
    bins = activity_bin(votes.n_events)
    chosen = _chosen(rated.raters, votes.n_events, options.max_fit_raters)
    is_rated = np.bincount(rated.response, minlength=len(rated.responses)) > 0
    use = np.ones(len(votes.up), dtype=bool)
    message = np.zeros(len(votes.up), dtype=np.float32)
    total = np.zeros(len(rated.responses))
    vector = initial()
    for steps in (*_STEPS, None):
        log_odds = cavity(votes, items.prior(judge), total, message)
        level = level_of(log_odds)
        counts = votes.counts(level, use)
        scaled = cell_likelihoods(counts[chosen])
        data = Data.of(scaled, bins[chosen], margin=options.margin)
        vector, _ = fit(data, vector, iterations=steps or _LAST_STEPS)
        population = population_of(vector, data.activity)
        if steps is None:
            break
        message = messages(votes, counts, bins, level, population)
        message[~use] = 0.0
        total = crowd(votes, message, len(rated.responses))
        judge = fit_judge(items, is_rated, total, judge)
        use = ~judge.contested[items.topic][votes.response]
    return Fitted(
        profile=profile(data, vector),
        population=population,
        judge=judge,
        counts=counts,
        votes=votes,
        bins=bins,
        log_odds=log_odds,
        message=message,
        prior=items.prior(judge),
        total=total,
    )


def _chosen(names: Sequence[str], n_events: NDArray[np.int64], at_most: int) -> NDArray[np.int64]:
    """Raters to fit on: all, or the `at_most` of lowest name hash, so that few change as raters join."""
    present = np.flatnonzero(n_events > 0)
    if len(present) <= at_most:
        return present
    hashes = (crc32(names[code].encode("utf-8", "surrogatepass")) for code in present.tolist())
    place = np.fromiter(hashes, dtype=np.int64, count=len(present)) * len(names) + present
    return np.sort(present[np.argpartition(place, at_most)[:at_most]])
