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
from monitor.cohorts.plane import LEVELS, THETA, Float, log_rates, logit, ups
from monitor.cohorts.population import BENIGN, BIASED, INDIFFERENT, Population

# However many raters agree, their word shifts the log-odds of a response by at most this much:
# a crowd may be brigaded, and its members are not independent.
_CROWD_LIMIT = 4.5
_SHIFT_SD, _SLOPE_SD = 1.0, 0.5
_CONTESTED_SLOPE = 0.25
_NEWTON_STEPS = 6
_CHUNK = 500_000


@dataclasses.dataclass(frozen=True, slots=True)
class Judge:
    """How p_lie reads in each topic: shift + slope x logit(p_lie), shape (topics,) each."""

    shift: Float
    slope: Float

    @classmethod
    def as_given(cls, n_topics: int) -> Judge:
        """p_lie taken at its word."""
        return cls(shift=np.zeros(n_topics), slope=np.ones(n_topics))

    @property
    def contested(self) -> NDArray[np.bool_]:
        """Topics where the crowd does not follow the judge: no evidence about raters."""
        return self.slope < _CONTESTED_SLOPE


@dataclasses.dataclass(frozen=True, slots=True)
class Items:
    """The rated responses: one row each, shape (responses,)."""

    logit: Float
    topic: NDArray[np.int32]
    truth: Float

    @classmethod
    def of(cls, events: EventTable, truth: Float) -> Items:
        """p_lie and topic of every response, as its first measured event says."""
        logits = np.zeros(len(events.responses))
        topic = np.zeros(len(events.responses), dtype=np.int32)
        logits[events.response[::-1]] = logit(events.p_lie[::-1])
        topic[events.response[::-1]] = events.topic[::-1]
        return cls(logit=logits, topic=topic, truth=truth)

    def prior(self, judge: Judge) -> Float:
        """Log-odds of a lie before any feedback; an audited truth overrides the judge."""
        log_odds = judge.shift[self.topic] + judge.slope[self.topic] * self.logit
        limit = logit(np.array([1.0]))[0]
        return np.where(np.isnan(self.truth), log_odds, np.where(self.truth > 0.5, limit, -limit))


def prototypes(population: Population) -> tuple[Float, Float, Float]:
    """Typical raters: their up-rates on honest answers and on lies, and shares per activity bin.

    Benign and biased at their means, and indifferent ones at every rate of the diagonal.
    """
    honest = np.concatenate((population.mean[:, 0], THETA))
    lies = np.concatenate((population.mean[:, 1], THETA))
    shares = np.column_stack(
        (
            population.shares[:, [BENIGN, BIASED]],
            population.shares[:, [INDIFFERENT]] * population.diagonal,
        )
    )
    return honest, lies, shares


def messages(
    events: EventTable,
    counts: csr_matrix,
    bins: NDArray[np.int64],
    level: NDArray[np.int32],
    population: Population,
) -> Float:
    """Log-likelihood ratio (lie against honest) that each event carries about its response.

    Who the rater is was judged from their other events alone. Shape (events,).
    """
    honest, lies, shares = prototypes(population)
    log_post = np.asarray(counts @ log_rates(honest, lies), dtype=np.float32)
    log_post += np.log(shares[bins]).astype(np.float32)
    log_post -= log_post.max(axis=1, keepdims=True)
    up = ups(events)
    out = np.empty(len(events))
    for start in range(0, len(events), _CHUNK):
        part = slice(start, start + _CHUNK)
        out[part] = _event_messages(
            log_post[events.rater[part]], level[part], up[part], honest, lies
        )
    return out


def _event_messages(
    log_post: NDArray[np.float32], level: NDArray[np.int32], up: Float, honest: Float, lies: Float
) -> Float:
    post = np.exp(log_post)
    if np.isin(up, (0.0, 1.0)).all():
        is_up = (up > 0.5)[:, None]
        own = np.where(is_up, honest, 1 - honest), np.where(is_up, lies, 1 - lies)
    else:
        u = up[:, None]
        own = honest**u * (1 - honest) ** (1 - u), lies**u * (1 - lies) ** (1 - u)
    q = LEVELS[level][:, None]
    post = post / ((1 - q) * own[0] + q * own[1])
    return np.log((post * own[1]).sum(axis=1)) - np.log((post * own[0]).sum(axis=1))


def crowd(events: EventTable, message: Float, weight: Float) -> Float:
    """Sum of the messages about each response, shape (responses,)."""
    total = np.bincount(events.response, message * weight, len(events.responses))
    return total.astype(np.float64)


def cavity(events: EventTable, items: Items, judge: Judge, message: Float, weight: Float) -> Float:
    """P(lie) of each event's response from the judge and everyone but this event's rater."""
    others = crowd(events, message, weight)[events.response] - message * weight
    log_odds = items.prior(judge)[events.response] + np.clip(others, -_CROWD_LIMIT, _CROWD_LIMIT)
    return 1 / (1 + np.exp(-log_odds))


def fit_judge(items: Items, rated: NDArray[np.bool_], total_message: Float, judge: Judge) -> Judge:
    """Shift and slope per topic that best explain the crowd's messages and the audited truths.

    Maximises, per topic, sum of log[(1 - p) + p exp(message)] with p = logistic(shift + slope x
    logit(p_lie)) and normal priors around (0, 1), by Newton steps with the outer product of gradients
    (Berndt, Hall, Hall and Hausman, 1974). What all topics share is taken out again: on the whole the
    judge's calibration is taken as given.
    """
    n_topics = len(judge.shift)
    audited = ~np.isnan(items.truth)
    if n_topics == 1 and not audited.any():
        return judge
    use = np.flatnonzero(rated | audited)
    topic, x = items.topic[use], items.logit[use]
    message = np.clip(total_message[use], -_CROWD_LIMIT, _CROWD_LIMIT)
    truth = items.truth[use]
    shift, slope = judge.shift.copy(), judge.slope.copy()
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-(shift[topic] + slope[topic] * x)))
        after = p * np.exp(message) / ((1 - p) + p * np.exp(message))
        residual = np.where(np.isnan(truth), after, truth) - p
        g0 = np.bincount(topic, residual, n_topics) - shift / _SHIFT_SD**2
        g1 = np.bincount(topic, residual * x, n_topics) - (slope - 1) / _SLOPE_SD**2
        square = residual**2
        h00 = np.bincount(topic, square, n_topics) + 1 / _SHIFT_SD**2
        h01 = np.bincount(topic, square * x, n_topics)
        h11 = np.bincount(topic, square * x * x, n_topics) + 1 / _SLOPE_SD**2
        determinant = h00 * h11 - h01**2
        shift = np.clip(shift + np.clip((h11 * g0 - h01 * g1) / determinant, -1, 1), -4, 4)
        slope = np.clip(slope + np.clip((h00 * g1 - h01 * g0) / determinant, -0.5, 0.5), -1, 3)
    if not audited.any():
        size = np.bincount(topic, minlength=n_topics)
        shift = shift - _weighted_median(shift, size)
        slope = slope - (_weighted_median(slope, size) - 1)
    return Judge(shift=shift, slope=slope)


def _weighted_median(values: Float, weights: NDArray[np.int64]) -> float:
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, cumulative[-1] / 2)])
