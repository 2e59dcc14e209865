"""Measured feedback in the raters' order, and the counts that the likelihood needs."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from monitor.cohorts.events import EventTable
from monitor.cohorts.plane import LEVELS

Float32 = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True)
class Votes:
    """Events sorted by rater, so that a rater's are neighbours, in memory too.

    Parameters
    ----------
    start
        Where each rater's events start, shape (raters + 1,).
    rater, response
        Codes, shape (events,).
    up
        Values in [-1, 1] as fractions of an up in [0, 1].
    graded
        Whether any value lies between the ends.
    """

    start: NDArray[np.int64]
    rater: NDArray[np.int32]
    response: NDArray[np.int32]
    up: Float32
    graded: bool

    @classmethod
    def of(cls, events: EventTable) -> Votes:
        """The events of a table, within a rater in the table's order."""
        order = np.argsort(events.rater, kind="stable")
        up = ((events.value[order] + 1) / 2).astype(np.float32)
        n = np.bincount(events.rater, minlength=len(events.raters))
        return cls(
            start=np.concatenate(([0], np.cumsum(n))),
            rater=events.rater[order],
            response=events.response[order],
            up=up,
            graded=bool(((up > 0) & (up < 1)).any()),
        )

    def of_raters(self, codes: NDArray[np.int64], rows: NDArray[np.int64]) -> Votes:
        """The votes of these raters, whose events are `rows`, with codes that count them from zero."""
        n = self.n_events[codes]
        return Votes(
            start=np.concatenate(([0], np.cumsum(n))),
            rater=np.repeat(np.arange(len(codes), dtype=np.int32), n),
            response=self.response[rows],
            up=self.up[rows],
            graded=self.graded,
        )

    @property
    def n_events(self) -> NDArray[np.int64]:
        """Events per rater code."""
        return np.diff(self.start)

    def counts(self, level: NDArray[np.int8], use: NDArray[np.bool_]) -> csr_matrix:
        """Ups and downs per rater and level, shape (raters, 2 x levels), of the events in use.

        A rating between the ends counts as a fraction of an up and of a down (a quasi-likelihood whose
        variance is at least that of the rating).
        """
        shape = (len(self.start) - 1, 2 * len(LEVELS))
        column = level.astype(np.int32)
        if not self.graded:
            column += np.where(self.up > 0.5, 0, len(LEVELS)).astype(np.int32)
            return csr_matrix((use.astype(np.float32), column, self.start), shape=shape)
        both = np.stack((column, column + len(LEVELS)), axis=1).ravel()
        parts = np.stack((self.up, 1 - self.up), axis=1) * use[:, None]
        return csr_matrix((parts.astype(np.float32).ravel(), both, 2 * self.start), shape=shape)
