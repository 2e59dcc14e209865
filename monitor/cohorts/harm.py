"""Which of the raters who act together favour lies: harm, not synchrony, is what a rater is named for.

An outage, a school class or the fans of a feature act together too. What tells a campaign from them is
what it likes: answers that the judge, with its error, and everybody else's votes call lies. The group's own
votes have no say in that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import binom

from evidence import digest
from monitor.cohorts.events import EventTable
from monitor.cohorts.plane import Float
from monitor.cohorts.results import Burst, Group
from monitor.cohorts.rounds import Fitted
from monitor.cohorts.truth import crowd_word

# How many times likelier the targets must be those of a campaign for lies (nine in ten of them lies) than
# those of anybody (lies as often as elsewhere).
_OF_CAMPAIGN = 0.9
# What it takes to be named: three to one, and more where a group was met over weeks, out of very many.
_LEAST_ODDS, _LEAST_SLOW = 3.0, 10.0
# A response counts as a target where this share of the group, and at least so many of it, liked it, and
# its ups are too many for a lie among independent raters, at this level.
_SHARED, _LEAST_SHARED, _FAVOURED = 0.2, 3, 0.02
# The least that independent raters are taken to like lies.
_LEAST_UP = 0.3
_LN10 = float(np.log(10))


class Harm:
    """What each rated response is by everybody's word but some."""

    def __init__(self, rated: EventTable, fitted: Fitted) -> None:
        order = np.argsort(rated.rater, kind="stable")
        self._votes, self._readings = fitted.votes, fitted.readings
        self._at_s = rated.created_at_s[order]
        self._names = rated
        n_responses = len(rated.responses)
        self._is_rated = np.bincount(self._votes.response, minlength=n_responses) > 0
        truth = np.asarray(sum(one.weight * one.truth for one in self._readings))
        self._base = float(np.clip(truth[self._is_rated].mean(), 1e-3, 0.5))
        lies = truth[self._votes.response]
        ups = float((lies @ self._votes.up) / max(float(lies.sum()), 1e-12))
        self._up_on_lies = max(ups, _LEAST_UP)

    def sorted_out(self, groups: Iterable[Group]) -> tuple[list[Group], list[Burst]]:
        """Groups that favour lies, and the others without their raters' names."""
        code = {name: at for at, name in enumerate(self._names.raters)}
        named: list[Group] = []
        others: list[Group] = []
        for group in groups:
            members = np.array([code[name] for name in group.raters], dtype=np.int64)
            odds = self.odds(members, (group.first_s, group.last_s))
            if odds >= (_LEAST_SLOW if group.pattern == "slow" else _LEAST_ODDS):
                named.append(msgspec.structs.replace(group, odds_of_harm=odds))
            else:
                others.append(group)
        return named, list(bursts_of(others))

    def odds(self, members: NDArray[np.int64], between_s: tuple[float, float]) -> float:
        """How many times likelier what the members liked is a campaign's for lies than anybody's.

        Only answers that many of them liked between these times count, and only where so many ups would
        be too many for a lie: what is liked as much as its kind always is shows no intent.
        """
        votes, n = self._votes, len(self._is_rated)
        inside = np.zeros(len(self._names.raters), dtype=bool)
        inside[members] = True
        meanwhile = (self._at_s >= between_s[0]) & (self._at_s <= between_s[1])
        up = votes.up > 0.5
        rows = inside[votes.rater] & meanwhile
        liked = np.bincount(votes.response[rows & up], minlength=n)
        shared = np.flatnonzero(liked >= max(_LEAST_SHARED, _SHARED * len(members)))
        if not len(shared):
            return 0.0
        ups = np.bincount(votes.response[meanwhile & up], minlength=n)[shared]
        cast = np.bincount(votes.response[meanwhile], minlength=n)[shared]
        shared = shared[binom.sf(ups - 1, cast, self._up_on_lies) < _FAVOURED]
        if not len(shared):
            return 0.0
        q = self._without(rows)[shared]
        evidence = q / (1 - q) / (self._base / (1 - self._base))
        ratio = (_OF_CAMPAIGN * evidence + 1 - _OF_CAMPAIGN) / (
            self._base * evidence + 1 - self._base
        )
        return float(np.exp(np.clip(np.log(ratio).sum(), -50, 50)))

    def on_one_target(self, *, min_group: int, burst_s: float, error: float) -> Iterator[Group]:
        """Raters who liked one answer within one window: a lie, and more of them than like lies.

        That many like an honest answer at once is no finding. The number of ups is compared with what
        independent raters give a lie (binomial, Bonferroni over all windows), and what else the same
        raters liked together within the window counts as their target too.
        """
        votes = self._votes
        up = votes.up > 0.5
        for half in (0.0, 0.5):
            window = np.floor(self._at_s / burst_s + half).astype(np.int64)
            first = int(window.min()) if len(window) else 0
            window -= first
            key = window * len(self._is_rated) + votes.response
            cells, cell, n = np.unique(key, return_inverse=True, return_counts=True)
            ups = np.bincount(cell, up, len(cells)).astype(np.int64)
            log_p = binom.logsf(ups - 1, n, self._up_on_lies) + np.log(2 * max(len(cells), 1))
            for at in np.flatnonzero((ups >= min_group) & (log_p < np.log(error))).tolist():
                rows = (cell == at) & up
                members = np.unique(votes.rater[rows]).astype(np.int64)
                start_s = (cells[at] // len(self._is_rated) + first - half) * burst_s
                odds = self.odds(members, (start_s, start_s + burst_s))
                if odds >= _LEAST_ODDS:
                    yield self._one(rows, members, odds, (int(n[at]), float(log_p[at])))

    def _without(self, rows: NDArray[np.bool_]) -> Float:
        """Probability of a lie by the judge and all votes but those at `rows`, shape (responses,)."""
        out = np.zeros(len(self._is_rated))
        for one in self._readings:
            own = np.bincount(self._votes.response[rows], one.message[rows], len(out))
            out += one.weight * expit(one.prior + crowd_word(one.total - own))
        return np.clip(out, 1e-4, 1 - 1e-4)

    def _one(
        self,
        rows: NDArray[np.bool_],
        members: NDArray[np.int64],
        odds: float,
        of_cell: tuple[int, float],
    ) -> Group:
        names = tuple(sorted(self._names.raters[code] for code in members.tolist()))
        response = int(self._votes.response[rows][0])
        at = self._at_s[rows]
        return Group(
            group_id=digest("one", *names)[:16],
            pattern="burst",
            direction="up",
            raters=names,
            responses=(self._names.responses[response],),
            observed=int(rows.sum()),
            expected=of_cell[0] * self._up_on_lies,
            log10_p=of_cell[1] / _LN10,
            p_lie=float(self._without(rows)[response]),
            first_s=float(at.min()),
            last_s=float(at.max()),
            odds_of_harm=odds,
        )


def bursts_of(groups: Iterable[Group]) -> tuple[Burst, ...]:
    """The groups without their raters' names."""
    return tuple(
        Burst(
            pattern=group.pattern,
            direction=group.direction,
            n_raters=len(group.raters),
            responses=group.responses,
            p_lie=group.p_lie,
            first_s=group.first_s,
            last_s=group.last_s,
        )
        for group in groups
    )
