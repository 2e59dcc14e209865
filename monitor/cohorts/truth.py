"""The shared truth of a response: the judge's p_lie, what is known of the judge by topic, and the crowd.

Raters of one response share its truth, so each learns from the others' feedback what it was (Dawid and
Skene, 1979, with the judge as a prior): messages are passed between raters and responses, and no
rater's own feedback enters the truth that it is compared with.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from monitor.cohorts.events import EventTable
from monitor.cohorts.plane import LEVELS, THETA, Float, log_rates, logit
from monitor.cohorts.population import BENIGN, BIASED, INDIFFERENT, Population
from monitor.cohorts.votes import Float32, Votes

# However many raters agree, their word shifts the log-odds of a response by at most this much:
# a crowd may be brigaded, and its members are not independent.
_CROWD_LIMIT = 4.5
# Log-odds of an audited truth: people err too.
_AUDITED = 4.6
_SHIFT_SD, _SLOPE_SD = 1.0, 0.5
_CONTESTED_SLOPE = 0.25
_NEWTON_STEPS = 6
_CHUNK = 250_000
_LOG_FLOOR = -50.0
# First index into THETA of each range of indifferent rates: always down, rarely, either, often, always up.
_RANGES = np.array([0, 4, 7, 10, 13])


@dataclasses.dataclass(frozen=True, slots=True)
class Judge:
    """How p_lie reads in each topic: shift + slope x logit(p_lie), shape (topics,) each."""

    shift: Float
    slope: Float

    @classmethod
    def at(cls, offset: float, n_topics: int) -> Judge:
        """p_lie at its word but for an offset of its log-odds, the same in all topics."""
        return cls(shift=np.full(n_topics, offset), slope=np.ones(n_topics))

    def moved(self, by: float) -> Judge:
        """The same but for an offset in all topics."""
        return dataclasses.replace(self, shift=self.shift + by)

    def log_prior(self, offset: float) -> float:
        """Of the topics' departures from what all share, up to a constant."""
        away = ((self.shift - offset) / _SHIFT_SD) ** 2 + ((self.slope - 1) / _SLOPE_SD) ** 2
        return -0.5 * float(away.sum())

    @property
    def contested(self) -> NDArray[np.bool_]:
        """Topics where the crowd does not follow the judge: no evidence about raters."""
        return self.slope < _CONTESTED_SLOPE


@dataclasses.dataclass(frozen=True, slots=True)
class Items:
    """The rated responses: one row each, shape (responses,)."""

    p_lie: Float
    logit: Float
    topic: NDArray[np.int32]
    truth: Float

    @classmethod
    def of(cls, events: EventTable, truth: Float) -> Items:
        """p_lie and topic of every response, as its first measured event says."""
        p_lie = np.full(len(events.responses), 0.5)
        topic = np.zeros(len(events.responses), dtype=np.int32)
        p_lie[events.response[::-1]] = events.p_lie[::-1]
        topic[events.response[::-1]] = events.topic[::-1]
        return cls(p_lie=p_lie, logit=logit(p_lie), topic=topic, truth=truth)

    def prior(self, judge: Judge) -> Float:
        """Log-odds of a lie before any feedback; an audited truth overrides the judge."""
        log_odds = judge.shift[self.topic] + judge.slope[self.topic] * self.logit
        limit = _AUDITED
        return np.where(np.isnan(self.truth), log_odds, np.where(self.truth > 0.5, limit, -limit))


def prototypes(population: Population) -> tuple[Float, Float, Float]:
    """Typical raters: their up-rates on honest answers and on lies, and shares per activity bin.

    Benign and biased at their means, and indifferent ones at the means of a few ranges of rates.
    """
    weight = np.add.reduceat(population.diagonal, _RANGES)
    middle = np.add.reduceat(population.diagonal * THETA, _RANGES) / np.maximum(weight, 1e-12)
    indifferent = np.where(weight > 1e-9, middle, THETA[_RANGES])
    honest = np.concatenate((population.mean[:, 0], indifferent))
    lies = np.concatenate((population.mean[:, 1], indifferent))
    shares = np.column_stack(
        (
            population.shares[:, [BENIGN, BIASED]],
            population.shares[:, [INDIFFERENT]] * np.maximum(weight, 1e-9),
        )
    )
    return honest, lies, shares


def messages(
    votes: Votes,
    counts: csr_matrix,
    bins: NDArray[np.int64],
    level: NDArray[np.int8],
    population: Population,
) -> Float32:
    """Log-likelihood ratio (lie against honest) that each event carries about its response.

    Who the rater is was judged from their other events alone. Shape (events,), in the votes' order.
    """
    honest, lies, shares = prototypes(population)
    post = rater_weights(counts, bins, honest, lies, shares)
    out = np.empty(len(votes.up), dtype=np.float32)
    for start in range(0, len(out), _CHUNK):
        part = slice(start, start + _CHUNK)
        own = own_rates(votes.up[part], honest, lies, graded=votes.graded)
        out[part] = event_messages(post[votes.rater[part]], level[part], *own)
    return out


def rater_weights(
    counts: csr_matrix, bins: NDArray[np.int64], honest: Float, lies: Float, shares: Float
) -> Float32:
    """Weight of every prototype for each rater, up to a factor a rater, shape (raters, prototypes)."""
    post = np.asarray(counts @ log_rates(honest, lies), dtype=np.float32)
    post += np.log(shares).astype(np.float32)[bins]
    post -= post.max(axis=1, keepdims=True)
    return np.exp(np.maximum(post, _LOG_FLOOR, out=post), out=post)


def own_rates(up: Float32, honest: Float, lies: Float, *, graded: bool) -> tuple[Float32, Float32]:
    """Probability of each event under each prototype if the response is honest, and if it lies."""
    if graded:
        u = up[:, None]
        pair = honest**u * (1 - honest) ** (1 - u), lies**u * (1 - lies) ** (1 - u)
        return pair[0].astype(np.float32), pair[1].astype(np.float32)
    is_up = (up > 0.5).astype(np.intp)
    by_vote = np.stack((1 - honest, honest, 1 - lies, lies)).astype(np.float32)
    return by_vote[:2][is_up], by_vote[2:][is_up]


def event_messages(
    post: Float32, level: NDArray[np.int8], if_honest: Float32, if_lie: Float32
) -> Float32:
    """Log-ratio of the raters' mean rates, each rater weighted without the event itself."""
    q = LEVELS.astype(np.float32)[level][:, None]
    post = post / (if_honest + q * (if_lie - if_honest))
    lie = np.einsum("ij,ij->i", post, if_lie)
    honest = np.einsum("ij,ij->i", post, if_honest)
    return np.log(lie / honest)


def crowd(votes: Votes, message: Float32, n_responses: int) -> Float:
    """Sum of the messages about each response, shape (responses,)."""
    return np.bincount(votes.response, message, n_responses).astype(np.float64)


def crowd_word(total: Float) -> Float:
    """What the crowd's messages about a response may add to its log-odds of a lie."""
    return np.clip(total, -_CROWD_LIMIT, _CROWD_LIMIT)


def cavity(votes: Votes, prior: Float, total: Float, message: Float32) -> Float32:
    """Log-odds of a lie for each event from the judge and everyone but the event's rater.

    Parameters
    ----------
    prior, total
        Per response: the judge's log-odds (`Items.prior`), and the crowd's (`crowd`).
    """
    log_odds = total.astype(np.float32)[votes.response]
    log_odds -= message
    np.clip(log_odds, -_CROWD_LIMIT, _CROWD_LIMIT, out=log_odds)
    log_odds += prior.astype(np.float32)[votes.response]
    return log_odds


def fit_judge(
    items: Items, rated: NDArray[np.bool_], total_message: Float, judge: Judge, *, offset: float
) -> Judge:
    """Shift and slope per topic that best explain the crowd's messages and the audited truths.

    Maximises, per topic, sum of log[(1 - p) + p exp(message)] with p = logistic(shift + slope x
    logit(p_lie)) and normal priors around (offset, 1), by Newton steps with the outer product of
    gradients (Berndt, Hall, Hall and Hausman, 1974). What all topics share is taken out again: it is
    the offset, which is looked at by itself.
    """
    n_topics = len(judge.shift)
    audited = ~np.isnan(items.truth)
    if n_topics == 1 and not audited.any():
        return judge
    use = np.flatnonzero(rated | audited)
    topic, x = items.topic[use], items.logit[use]
    message = crowd_word(total_message[use])
    truth = items.truth[use]
    shift, slope = judge.shift.copy(), judge.slope.copy()
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-(shift[topic] + slope[topic] * x)))
        after = p * np.exp(message) / ((1 - p) + p * np.exp(message))
        residual = np.where(np.isnan(truth), after, truth) - p
        g0 = np.bincount(topic, residual, n_topics) - (shift - offset) / _SHIFT_SD**2
        g1 = np.bincount(topic, residual * x, n_topics) - (slope - 1) / _SLOPE_SD**2
        square = residual**2
        h00 = np.bincount(topic, square, n_topics) + 1 / _SHIFT_SD**2
        h01 = np.bincount(topic, square * x, n_topics)
        h11 = np.bincount(topic, square * x * x, n_topics) + 1 / _SLOPE_SD**2
        determinant = h00 * h11 - h01**2
        shift = shift + np.clip((h11 * g0 - h01 * g1) / determinant, -1, 1)
        shift = np.clip(shift, offset - 4, offset + 4)
        slope = np.clip(slope + np.clip((h00 * g1 - h01 * g0) / determinant, -0.5, 0.5), -1, 3)
    if not audited.any():
        size = np.bincount(topic, minlength=n_topics)
        shift = shift - (_weighted_median(shift, size) - offset)
        slope = slope - (_weighted_median(slope, size) - 1)
    return Judge(shift=shift, slope=slope)


def _weighted_median(values: Float, weights: NDArray[np.int64]) -> float:
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, cumulative[-1] / 2)])
