"""Rounds between who the raters are, what the judge is worth by topic, and what was true."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import expit

from monitor.cohorts.classify import Classified, classify, merged
from monitor.cohorts.events import EventTable
from monitor.cohorts.mixture import Data, Profile, fit, initial, population_of, profile
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.plane import LEVELS, Float, level_of, scaled_likelihoods
from monitor.cohorts.population import BIASED, Population, activity_bin
from monitor.cohorts.sensor import SensorError, log_prior
from monitor.cohorts.truth import Items, Judge, cavity, crowd, crowd_word, fit_judge, messages
from monitor.cohorts.turning import Turned, turned_raters
from monitor.cohorts.votes import Float32, Votes

# Quasi-Newton steps of each round, and of the last fit; of a fit beside one that is known.
_STEPS, _LAST_STEPS, _BESIDE_STEPS = (40, 15, 15), 40, 12
# The walk over the judge's offset: its first step and its ends, on the logit scale of p_lie; the drop of
# log-evidence that ends it; and the drop between neighbours above which a point is put between them.
_STRIDE, _ENDS, _FAR, _JUMP, _FINEST = 1.0, (-6.0, 2.0), 5.0, 2.0, 0.12
# The votes' word on the offset rests on the raters' kinds being as modelled, and on messages that go round
# in circles: it counts a third.
_VOTES = 1 / 3
_NO_COUNTS = csr_matrix((0, 0))
_UNKNOWN = Profile(np.zeros(1), np.zeros(1), (), np.zeros(0))
# Readings with less of the evidence than this are left out: of many raters, where each is dear, sooner.
_LEAST, _LEAST_OF_MANY = 0.08, 0.15


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What follows from one offset of the judge's log-odds.

    Parameters
    ----------
    offset
        Added to the log-odds of p_lie in every topic: the prevalence that p_lie was not calibrated at.
    log_evidence
        Log-likelihood of the votes (Bethe's approximation), of the sensor's calibration and of the offset.
    weight
        Posterior mass of the offset.
    counts
        Ups and downs per level, one row a rater code.
    log_odds, message
        Of a lie for each event's response without the event's rater, and what the event itself says
        of it, in the votes' order.
    prior, total
        Per response: the judge's log-odds, and the sum of the messages.
    """

    offset: float
    judge: Judge
    vector: Float
    population: Population
    counts: csr_matrix
    log_odds: Float32
    message: Float32
    prior: Float
    total: Float
    log_evidence: float
    profile: Profile
    weight: float

    @property
    def truth(self) -> Float:
        """Probability that each response is a lie, by the judge and everybody's votes."""
        return expit(self.prior + crowd_word(self.total))

    def truth_if_biased(self, up: Float32) -> Float:
        """The same for each event's response, were the event's rater biased, shape (events,).

        Parameters
        ----------
        up
            Fraction of an up of each event, in the votes' order.
        """
        honest, lies = self.population.mean[BIASED]
        ups = np.log(lies) - np.log(honest)
        downs = np.log1p(-lies) - np.log1p(-honest)
        return expit(self.log_odds + up * ups + (1 - up) * downs)


@dataclasses.dataclass(frozen=True, slots=True)
class Fitted:
    """The readings that the raters are classified from, the likeliest first.

    Parameters
    ----------
    bins
        Activity bin of each rater code.
    """

    readings: tuple[Reading, ...]
    votes: Votes
    items: Items
    bins: NDArray[np.int64]

    @property
    def best(self) -> Reading:
        """The likeliest reading."""
        return self.readings[0]

    def turned(self, at_s: Float, codes: NDArray[np.int64], *, margin: float) -> Turned:
        """Which share of the raters at `codes` changed between the halves of their events.

        Parameters
        ----------
        at_s
            Time of each event, in the votes' order.
        """
        best = self.best
        in_use = ~best.judge.contested[self.items.topic][self.votes.response]
        early = self.votes.counts(level_of(best.log_odds), in_use & (at_s <= np.median(at_s)))
        return turned_raters(
            best.counts[codes], early[codes], self.bins[codes], best.population, margin=margin
        )

    @property
    def profiles(self) -> list[tuple[float, Profile]]:
        """Every reading's log-evidence and profile of the biased share."""
        return [(one.log_evidence, one.profile) for one in self.readings]

    def classified(self, codes: NDArray[np.int64], liked: Float, *, margin: float) -> Classified:
        """What all readings say of the raters at `codes`, whose liked turns weigh `liked`."""
        return merged(
            [
                (
                    one.weight,
                    classify(
                        one.counts[codes], self.bins[codes], one.profile, liked, margin=margin
                    ),
                )
                for one in self.readings
            ]
        )

    @property
    def lies(self) -> Float:
        """Expected number of dishonest responses that each rater rated."""
        total = np.zeros(len(self.bins))
        for one in self.readings:
            total += one.weight * np.bincount(self.votes.rater, expit(one.log_odds), len(self.bins))
        return total


def fit_rounds(
    rated: EventTable, truth: Float, options: CohortOptions, sensor: SensorError | None = None
) -> Fitted:
    """Fit the population to measured events, at every offset of the judge that the votes leave open.

    Parameters
    ----------
    truth
        Audited truth per response code: 1 a lie, 0 honest, NaN unknown.
    sensor
        What the calibration measured of the judge's errors; None where nothing is known of them.
    """
    work = _Work(rated, truth, options, sensor)
    found = {0.0: work.first()}
    _walk(work, found)
    _refine(work, found)
    offsets = np.array(sorted(found))
    mass = _mass(offsets, np.array([found[at].log_evidence for at in offsets]))
    least = _LEAST if work.all_chosen else _LEAST_OF_MANY
    kept = [i for i in np.argsort(-mass, kind="stable") if mass[i] >= min(least, mass.max())]
    whole = float(mass[kept].sum())
    readings = tuple(
        work.profiled(found[float(offsets[i])], weight=float(mass[i]) / whole) for i in kept
    )
    return Fitted(readings=readings, votes=work.votes, items=work.items, bins=work.bins)


def _walk(work: _Work, found: dict[float, Reading]) -> None:
    """Step out from the offset zero, either way, until the evidence is negligible."""
    for direction in (-1, 1):
        at = 0.0
        while True:
            following = at + direction * _STRIDE
            if not _ENDS[0] <= following <= _ENDS[1]:
                break
            found[following] = work.beside(found[at], following)
            top = max(one.log_evidence for one in found.values())
            if found[following].log_evidence < top - _FAR:
                break
            at = following


def _refine(work: _Work, found: dict[float, Reading]) -> None:
    """Put points beside the top until its neighbours are nearly as likely."""
    while True:
        order = sorted(found)
        top = max(order, key=lambda at: found[at].log_evidence)
        place = order.index(top)
        beside = [order[i] for i in (place - 1, place + 1) if 0 <= i < len(order)]
        gaps = [
            at
            for at in beside
            if abs(at - top) > _FINEST and found[top].log_evidence - found[at].log_evidence > _JUMP
        ]
        if not gaps:
            return
        for at in gaps:
            middle = (at + top) / 2
            found[middle] = work.beside(found[top], middle)


def _mass(offsets: Float, log_evidence: Float) -> Float:
    """Posterior mass of each offset: its evidence times the length that it stands for."""
    if len(offsets) == 1:
        return np.ones(1)
    middles = (offsets[1:] + offsets[:-1]) / 2
    ends = (offsets[0] - (middles[0] - offsets[0]), offsets[-1] + (offsets[-1] - middles[-1]))
    length = np.diff(np.concatenate(([ends[0]], middles, [ends[1]])))
    mass = np.exp(log_evidence - log_evidence.max()) * length
    return mass / mass.sum()


class _Work:
    """The events in the raters' order, and a reading of them at any offset."""

    def __init__(
        self, rated: EventTable, truth: Float, options: CohortOptions, sensor: SensorError | None
    ) -> None:
        self.items = Items.of(rated, truth)
        self.votes = Votes.of(rated)
        self.bins = activity_bin(self.votes.n_events)
        self._sensor, self._options = sensor, options
        self._n_topics, self._n_responses = len(rated.topics), len(rated.responses)
        self._is_rated = np.bincount(rated.response, minlength=self._n_responses) > 0
        n_events = self.votes.n_events
        self._chosen = _chosen(rated.raters, n_events, options.max_fit_raters)
        self._part = len(self._chosen) / max(int((n_events > 0).sum()), 1)
        of_chosen = np.zeros(len(n_events), dtype=bool)
        of_chosen[self._chosen] = True
        self._rows = np.flatnonzero(of_chosen[self.votes.rater])
        self._few = self.votes.of_raters(self._chosen, self._rows)

    @property
    def all_chosen(self) -> bool:
        """Whether the population is fitted on all raters."""
        return self._part == 1.0

    def first(self) -> Reading:
        """The reading that takes the judge's calibration as given."""
        judge = Judge.at(0.0, self._n_topics)
        size = len(self.votes.up)
        message, total = np.zeros(size, np.float32), np.zeros(self._n_responses)
        vector, use = initial(), np.ones(size, dtype=bool)
        for steps in _STEPS:
            says = total, message, use
            _, population, vector, _ = self._fit(judge, vector, says, steps)
            message, total = self._messages(judge, population, says)
            judge = fit_judge(self.items, self._is_rated, total, judge, offset=0.0)
            use = self._used(judge)
        return self._reading(0.0, judge, vector, (total, message, use), _LAST_STEPS)

    def beside(self, near: Reading, offset: float) -> Reading:
        """The reading at another offset, from one that is near.

        The topics depart from the offset as they do at none: which of them are contested may not differ
        between readings, or the likelihoods would be of different votes.
        """
        judge = near.judge.moved(offset - near.offset)
        use = self._used(judge)
        message, total, vector = near.message, near.total, near.vector
        if self.all_chosen:
            # What the crowd says hardly moves with the offset, so of many raters it is taken as it is.
            for _ in range(2):
                says = total, message, use
                _, population, vector, _ = self._fit(judge, vector, says, _BESIDE_STEPS)
                message, total = self._messages(judge, population, says)
        return self._reading(offset, judge, vector, (total, message, use), _BESIDE_STEPS)

    def profiled(self, reading: Reading, *, weight: float) -> Reading:
        """The reading with the profile of its biased share, and with the counts of all raters."""
        log_odds = cavity(self.votes, reading.prior, reading.total, reading.message)
        counts = self.votes.counts(level_of(log_odds), self._used(reading.judge))
        data = Data.of(
            scaled_likelihoods(counts[self._chosen])[0],
            self.bins[self._chosen],
            margin=self._options.margin,
        )
        return dataclasses.replace(
            reading,
            counts=counts,
            log_odds=log_odds,
            profile=profile(data, reading.vector),
            weight=weight,
        )

    def _used(self, judge: Judge) -> NDArray[np.bool_]:
        return ~judge.contested[self.items.topic][self.votes.response]

    def _fit(
        self,
        judge: Judge,
        start: Float,
        crowd_says: tuple[Float, Float32, NDArray[np.bool_]],
        steps: int,
    ) -> tuple[float, Population, Float, NDArray[np.int8]]:
        """Fit the population to what the judge and the crowd say of what the chosen raters rated.

        Returns the log-likelihood of their votes, the population, its parameters, and the level of each
        of their events.
        """
        total, message, use = crowd_says
        prior, rows = self.items.prior(judge), self._rows
        level = level_of(cavity(self._few, prior, total, message[rows]))
        scaled, top = scaled_likelihoods(self._few.counts(level, use[rows]))
        data = Data.of(scaled, self.bins[self._chosen], margin=self._options.margin)
        vector, value = fit(data, start, iterations=steps)
        population = population_of(vector, data.activity)
        return value + float(top.sum(dtype=np.float64)), population, vector, level

    def _messages(
        self,
        judge: Judge,
        population: Population,
        crowd_says: tuple[Float, Float32, NDArray[np.bool_]],
    ) -> tuple[Float32, Float]:
        """What each event says of its response, and the sums of that."""
        total, message, use = crowd_says
        level = level_of(cavity(self.votes, self.items.prior(judge), total, message))
        counts = self.votes.counts(level, use)
        message = messages(self.votes, counts, self.bins, level, population)
        message[~use] = 0.0
        return message, crowd(self.votes, message, self._n_responses)

    def _reading(
        self,
        offset: float,
        judge: Judge,
        vector: Float,
        crowd_says: tuple[Float, Float32, NDArray[np.bool_]],
        steps: int,
    ) -> Reading:
        total, message, use = crowd_says
        value, population, vector, level = self._fit(judge, vector, crowd_says, steps)
        prior = self.items.prior(judge)
        votes = value + self._log_responses(prior, total, message, level, use)
        evidence = _VOTES * (votes + judge.log_prior(offset)) + log_prior(
            offset, expit(prior[self._is_rated]), self.items.p_lie[self._is_rated], self._sensor
        )
        return Reading(
            offset=offset,
            judge=judge,
            vector=vector,
            population=population,
            counts=_NO_COUNTS,
            log_odds=message[:0],
            message=message,
            prior=prior,
            total=total,
            log_evidence=evidence,
            profile=_UNKNOWN,
            weight=0.0,
        )

    def _log_responses(
        self,
        prior: Float,
        total: Float,
        message: Float32,
        level: NDArray[np.int8],
        use: NDArray[np.bool_],
    ) -> float:
        """The responses' part of Bethe's log-likelihood, at the share of the raters who were chosen.

        Raters' and responses' own likelihoods count each vote twice, so what the votes share is taken
        off (Yedidia, Freeman and Weiss, 2005, IEEE Trans. Inf. Theory 51:2282).
        """
        p = expit(prior[self._is_rated])
        of_items = np.log1p(p * np.expm1(crowd_word(total[self._is_rated])))
        says = np.where(use[self._rows], message[self._rows], 0.0).astype(np.float64)
        of_votes = np.log1p(LEVELS[level] * np.expm1(says))
        return self._part * float(of_items.sum()) - float(of_votes.sum())


def _chosen(names: Sequence[str], n_events: NDArray[np.int64], at_most: int) -> NDArray[np.int64]:
    """Raters to fit on: all, or the `at_most` of lowest name hash, so that few change as raters join."""
    present = np.flatnonzero(n_events > 0)
    if len(present) <= at_most:
        return present
    hashes = (crc32(names[code].encode("utf-8", "surrogatepass")) for code in present.tolist())
    place = np.fromiter(hashes, dtype=np.int64, count=len(present)) * len(names) + present
    return np.sort(present[np.argpartition(place, at_most)[:at_most]])
