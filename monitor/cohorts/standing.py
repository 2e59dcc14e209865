"""A full fit carried forward over new events, without fitting again.

Between full estimates the population, the judge and the words on earlier events are held as they are;
raters with new events are classified anew from all their events, and the shares follow. The next full
estimate replaces it. Given the same cut-offs the numbers are the same under replay.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from monitor.cohorts.classify import classify
from monitor.cohorts.events import EventTable, RatedEvent
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.plane import LEVELS, Float, level_of, logit
from monitor.cohorts.population import activity_bin
from monitor.cohorts.results import Share
from monitor.cohorts.rounds import Fitted
from monitor.cohorts.share import NO_SHARE
from monitor.cohorts.truth import (
    crowd_word,
    event_messages,
    own_rates,
    prototypes,
    rater_weights,
)

_COLUMNS = 2 * len(LEVELS)


class Refreshed(msgspec.Struct, frozen=True, kw_only=True):
    """The shares after a refresh, and p_biased of the raters whom it touched."""

    biased_fraction: Share
    biased_weight: Share
    n_events: int
    n_unmeasured: int
    p_biased: dict[str, float]


@dataclasses.dataclass(frozen=True, slots=True)
class _Cast:
    """One vote as it was counted."""

    level: int
    value: float
    message: float
    used: bool


class _Names:
    """Codes of names: those of a sorted sequence, then new ones in order of arrival."""

    def __init__(self, names: Sequence[str]) -> None:
        self._sorted = names
        self._new: dict[str, int] = {}

    def code(self, name: str) -> int:
        place = bisect_left(self._sorted, name)
        if place < len(self._sorted) and self._sorted[place] == name:
            return place
        return self._new.setdefault(name, len(self._sorted) + len(self._new))

    def __len__(self) -> int:
        return len(self._sorted) + len(self._new)


class Standing:
    """Fit once, then `refresh` with each batch of later events.

    Parameters
    ----------
    rated
        The measured events that the fit rests on, at least one, their names sorted.
    fitted, shares
        The fit, and the shares of raters and of liked weight that it found: later ones move by as much
        as the likeliest reading of the sensor does, and their intervals with them.
    """

    def __init__(
        self,
        rated: EventTable,
        *,
        options: CohortOptions,
        fitted: Fitted,
        shares: tuple[Share, Share],
    ) -> None:
        self._options = options
        self._raters, self._responses = _Names(rated.raters), _Names(rated.responses)
        self._topics = {name: code for code, name in enumerate(rated.topics)}
        self._fitted, self._best = fitted, fitted.best
        self._level = level_of(self._best.log_odds)
        self._prior, self._total = self._best.prior, self._best.total
        self._added: dict[int, Float] = {}
        self._added_events: dict[int, int] = {}
        self._recent: dict[tuple[int, int], _Cast] = {}
        self._replaced: set[tuple[int, int]] = set()
        self._n_events, self._n_unmeasured = len(rated), 0
        n_events = self._fitted.votes.n_events
        self._present = n_events > 0
        liked = np.bincount(rated.rater, np.maximum(rated.value, 0.0), len(rated.raters))
        self._liked = liked.astype(np.float64)
        self._n_liked = int((rated.value > 0).sum())
        codes = np.flatnonzero(self._present)
        self._sums, _ = self._sums_of(self._best.counts[codes], self._fitted.bins[codes], codes)
        self._shares = shares
        self._first = [self._mean(which, total) for which, total in enumerate(self._totals())]

    def refresh(self, new: Sequence[RatedEvent]) -> Refreshed:
        """Take new events, in order of (created_at_s, feedback_id), and say where the shares stand."""
        measured = sorted(
            (e for e in new if e.p_lie is not None), key=lambda e: (e.created_at_s, e.feedback_id)
        )
        self._n_unmeasured += len(new) - len(measured)
        rater = np.array([self._raters.code(e.rater) for e in measured], dtype=np.int64)
        response = np.array([self._responses.code(e.response_id) for e in measured], np.int64)
        self._grow(measured, response)
        touched = np.unique(rater)
        known = touched[self._present[touched]]
        before, _ = self._sums_of(*self._counted(known), known)
        self._cast(measured, rater, response)
        self._present[touched] = True
        after, p_biased = self._sums_of(*self._counted(touched), touched)
        self._sums += after - before
        names = {code: event.rater for code, event in zip(rater.tolist(), measured, strict=True)}
        return Refreshed(
            biased_fraction=self._share(0, int(self._present.sum())),
            biased_weight=self._share(1, self._n_liked),
            n_events=self._n_events,
            n_unmeasured=self._n_unmeasured,
            p_biased={names[c]: p for c, p in zip(touched.tolist(), p_biased, strict=True)},
        )

    def _grow(self, measured: Sequence[RatedEvent], response: NDArray[np.int64]) -> None:
        """Room for new raters and responses, with the judge's word on the latter."""
        more = len(self._raters) - len(self._present)
        self._present = np.append(self._present, np.zeros(more, dtype=bool))
        self._liked = np.append(self._liked, np.zeros(more))
        first = len(self._prior)
        more = len(self._responses) - first
        self._total = np.append(self._total, np.zeros(more))
        self._prior = np.append(self._prior, np.zeros(more))
        judge = self._best.judge
        for code, event in zip(response.tolist(), measured, strict=True):
            if code >= first and event.p_lie is not None:
                topic = self._topics.get(event.topic)
                shift, slope = (
                    (self._best.offset, 1.0)
                    if topic is None
                    else (judge.shift[topic], judge.slope[topic])
                )
                self._prior[code] = shift + slope * logit(np.array([event.p_lie]))[0]

    def _counted(self, codes: NDArray[np.int64]) -> tuple[csr_matrix, NDArray[np.int64]]:
        """Counts and activity bins of raters as they stand."""
        fitted = self._fitted
        counts = np.zeros((len(codes), _COLUMNS))
        n_events = np.zeros(len(codes), dtype=np.int64)
        old = np.flatnonzero(codes < len(fitted.bins))
        if len(old):
            counts[old] = self._best.counts[codes[old]].toarray()
            n_events[old] = fitted.votes.n_events[codes[old]]
        for row, code in enumerate(codes.tolist()):
            if code in self._added:
                counts[row] += self._added[code]
                n_events[row] += self._added_events[code]
        return csr_matrix(counts.astype(np.float32)), activity_bin(n_events)

    def _cast(
        self, measured: Sequence[RatedEvent], rater: NDArray[np.int64], response: NDArray[np.int64]
    ) -> None:
        """Count the new votes, taking back those that they replace."""
        casts = []
        for event, r, x in zip(measured, rater.tolist(), response.tolist(), strict=True):
            self._take_back(r, x)
            word = float(crowd_word(self._total[x])) + self._prior[x]
            topic = self._topics.get(event.topic)
            used = topic is None or not bool(self._best.judge.contested[topic])
            cast = _Cast(int(level_of(np.array([word]))[0]), event.value, 0.0, used)
            self._recent[r, x] = cast
            self._count(r, cast, 1)
            casts.append(cast)
        for (r, x), message in zip(
            zip(rater.tolist(), response.tolist(), strict=True),
            self._messages(casts, rater),
            strict=True,
        ):
            cast = self._recent[r, x]
            if cast.used and cast.message == 0.0:
                self._recent[r, x] = dataclasses.replace(cast, message=message)
                self._total[x] += message

    def _take_back(self, rater: int, response: int) -> None:
        cast = self._recent.pop((rater, response), None) or self._first_cast(rater, response)
        if cast is not None:
            self._count(rater, cast, -1)
            self._total[response] -= cast.message

    def _first_cast(self, rater: int, response: int) -> _Cast | None:
        """The vote that the full fit counted, unless one of the recent took its place already."""
        fitted = self._fitted
        if rater >= len(fitted.bins):
            return None
        start, end = fitted.votes.start[rater], fitted.votes.start[rater + 1]
        found = np.flatnonzero(fitted.votes.response[start:end] == response)
        if not len(found) or (rater, response) in self._replaced:
            return None
        self._replaced.add((rater, response))
        at = start + found[0]
        value = 2 * float(fitted.votes.up[at]) - 1
        message = float(self._best.message[at])
        return _Cast(int(self._level[at]), value, message, message != 0.0)

    def _count(self, rater: int, cast: _Cast, sign: int) -> None:
        self._n_events += sign
        self._liked[rater] += sign * max(cast.value, 0.0)
        self._n_liked += sign * (cast.value > 0)
        self._added_events[rater] = self._added_events.get(rater, 0) + sign
        row = self._added.setdefault(rater, np.zeros(_COLUMNS))
        if cast.used:
            up = (cast.value + 1) / 2
            row[cast.level] += sign * up
            row[cast.level + len(LEVELS)] += sign * (1 - up)

    def _messages(self, casts: Sequence[_Cast], rater: NDArray[np.int64]) -> list[float]:
        """What each new vote says of its response, by who its rater now seems to be."""
        if not casts:
            return []
        touched, row = np.unique(rater, return_inverse=True)
        counts, bins = self._counted(touched)
        honest, lies, shares = prototypes(self._best.population)
        post = rater_weights(counts, bins, honest, lies, shares)
        up = np.array([(cast.value + 1) / 2 for cast in casts], dtype=np.float32)
        level = np.array([cast.level for cast in casts], dtype=np.int8)
        own = own_rates(up, honest, lies, graded=True)
        found: list[float] = event_messages(post[row], level, *own).tolist()
        return found

    def _sums_of(
        self, counts: csr_matrix, bins: NDArray[np.int64], codes: NDArray[np.int64]
    ) -> tuple[Float, list[float]]:
        """Sums over raters of what the shares are made of, shape (2, points), and their p_biased."""
        liked = self._liked[codes]
        found = classify(counts, bins, self._best.profile, liked, margin=self._options.margin)
        n, total = max(len(codes), 1), max(float(liked.sum()), 1e-12)
        sums = np.stack((found.share_mean * n, found.weight_mean * total))
        self._points = found.point_weight
        return sums, found.p_biased.tolist()

    def _totals(self) -> tuple[float, float]:
        return float(self._present.sum()), float(self._liked.sum())

    def _mean(self, which: int, total: float) -> float:
        return float(self._points @ self._sums[which]) / total if total > 0 else 0.0

    def _share(self, which: int, n: int) -> Share:
        first, total = self._shares[which], self._totals()[which]
        if total <= 0 or first.estimate is None:
            return NO_SHARE
        moved = self._mean(which, total) - self._first[which]
        lower, estimate, upper = (
            min(1.0, max(0.0, value + moved))
            for value in (first.lower, first.estimate, first.upper)
        )
        return Share(estimate=estimate, lower=lower, upper=upper, n=n)
