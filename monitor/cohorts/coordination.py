"""Groups of raters who act on the same responses in the same direction beyond what popularity explains.

Acts are sorted into cells: a response with a direction, within one time window (`burst`) or at any time
(`slow`). A popular cell is no finding, however many raters are in it. What independence does not
explain is raters who meet again: a pair of cells about different responses that shares more raters
than their sizes and the raters' activity predict. Such pairs join into groups, so that sets of sparse
raters are found though none is remarkable alone.
"""

from __future__ import annotations

import dataclasses

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, triu
from scipy.stats import poisson

from evidence import digest
from monitor.cohorts.events import EventTable
from monitor.cohorts.plane import Float
from monitor.cohorts.results import Group

# Raters in more cells than this are left to the rater model; pairs beyond the budget are given up
# from the most popular cells downwards, where a shared rater says least.
_MAX_CELLS_OF_RATER = 60
_PAIR_BUDGET = 8_000_000
# A pair of cells may be telling with fewer shared raters than a group needs in all.
_MIN_SHARED = 3
# Between cells of one group few raters meet by chance; those of such pairs belong to the group.
_MAX_CHANCE = 0.1
_LN10 = float(np.log(10))


@dataclasses.dataclass(frozen=True, slots=True)
class _Cells:
    """Memberships (rater, cell), each once, and what the cells are."""

    rater: NDArray[np.int64]
    cell: NDArray[np.int64]
    response: NDArray[np.int64]
    is_up: NDArray[np.bool_]
    window: NDArray[np.int64]

    @property
    def size(self) -> NDArray[np.int64]:
        return np.bincount(self.cell, minlength=len(self.response))


@dataclasses.dataclass(frozen=True, slots=True)
class _Pairs:
    """Cell pairs that share more raters than expected.

    `weak` marks pairs that say too little alone, between cells that telling pairs have.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    observed: Float
    expected: Float
    log_p: Float
    weak: NDArray[np.bool_]


def find_groups(
    events: EventTable, *, min_group: int, burst_s: float, error: float
) -> tuple[Group, ...]:
    """Coordinated groups, the surest first; at most `error` is the chance of any where there is none.

    Uses all events, measured or not: coordination needs no verdict.
    """
    groups: list[Group] = []
    for pattern in ("burst", "slow"):
        window = burst_s if pattern == "burst" else None
        cells = _cells(events, window, min_group)
        pairs = _telling_pairs(events, cells, window, error / 2)
        groups += _groups(events, cells, pairs, pattern, min_group)
    return without_repeats(groups)


def _cells(events: EventTable, window_s: float | None, min_group: int) -> _Cells:
    act = events.response.astype(np.int64) * 2 + (events.value > 0)
    moved = (np.bincount(act, minlength=2 * len(events.responses))[act] >= min_group) & (
        events.value != 0
    )
    rater = events.rater[moved].astype(np.int64)
    base = act[moved]
    if window_s is None:
        key, window = base, np.zeros(len(base), dtype=np.int64)
    else:
        # Two tilings, half a window apart, so that no burst is cut in both.
        at = events.created_at_s[moved] / window_s
        window = np.concatenate((2 * np.floor(at), 2 * np.floor(at + 0.5) + 1)).astype(np.int64)
        rater, base = np.tile(rater, 2), np.tile(base, 2)
        key = (window - window.min(initial=0)) * (2 * len(events.responses)) + base
    _, cell, size = np.unique(key, return_inverse=True, return_counts=True)
    big = size >= min_group
    keep = big[cell]
    number = np.cumsum(big) - 1
    first = np.zeros(int(big.sum()), dtype=np.int64)
    first[number[cell[keep]]] = np.flatnonzero(keep)
    return _Cells(
        rater=rater[keep],
        cell=number[cell[keep]],
        response=base[first] // 2,
        is_up=(base[first] % 2).astype(bool),
        window=window[first],
    )


def _telling_pairs(
    events: EventTable, cells: _Cells, window_s: float | None, error: float
) -> _Pairs:
    shared = _shared_raters(cells, len(events.raters))
    a, b, observed = shared.row, shared.col, shared.data.astype(np.float64)
    other = cells.response[a] != cells.response[b]
    if window_s is not None:
        other &= cells.window[a] % 2 == cells.window[b] % 2
    a, b, observed = a[other], b[other], observed[other]
    size = cells.size.astype(np.float64)
    same = cells.window[a] == cells.window[b]
    expected = size[a] * size[b] * np.where(same, *_meeting_rates(events, window_s))
    expected *= _overdispersion(observed, expected)
    log_p = poisson.logsf(observed - 1, expected)
    within, across = _numbers_of_pairs(cells)
    corrected = log_p + np.log(2 * np.where(same, within, across))
    shares_enough = observed >= _MIN_SHARED
    telling = shares_enough & (corrected < np.log(error / 2))
    telling |= shares_enough & same & _grown(cells, (a, b), log_p, telling, error / 2)
    inside = np.zeros(len(size), dtype=bool)
    inside[a[telling]] = inside[b[telling]] = True
    weak = ~telling & same & inside[a] & inside[b] & (expected <= _MAX_CHANCE * observed)
    kept = telling | weak
    return _Pairs(
        first=a[kept],
        second=b[kept],
        observed=observed[kept],
        expected=expected[kept],
        log_p=np.where(weak, 0.0, np.minimum(corrected, 0.0))[kept],
        weak=weak[kept],
    )


def _numbers_of_pairs(cells: _Cells) -> tuple[float, float]:
    """Pairs of cells within one window, and in different ones."""
    _, per_window = np.unique(cells.window, return_counts=True)
    n = len(cells.window)
    within = float((per_window * (per_window - 1.0)).sum() / 2)
    return max(within, 1.0), max(n * (n - 1.0) / 2 - within, 1.0)


def _grown(
    cells: _Cells,
    ends: tuple[NDArray[np.int32], NDArray[np.int32]],
    log_p: Float,
    telling: NDArray[np.bool_],
    error: float,
) -> NDArray[np.bool_]:
    """Pairs beside a telling one in its window: few are looked at, so each needs less evidence."""
    a, b = ends
    found = telling.copy()
    _, window, per_window = np.unique(cells.window, return_inverse=True, return_counts=True)
    inside = np.zeros(len(cells.window), dtype=bool)
    while True:
        before = int(found.sum())
        inside[a[found]] = inside[b[found]] = True
        looked_at = max(float(per_window[window[inside]].sum()), 1.0)
        beside = inside[a] | inside[b]
        found |= beside & (log_p + np.log(looked_at) < np.log(error))
        if int(found.sum()) == before or not before:
            return found


def _shared_raters(cells: _Cells, n_raters: int) -> coo_matrix:
    """Raters that each pair of cells shares, upper triangle, as a COO matrix."""
    size = cells.size
    allowed = np.bincount(cells.rater, minlength=n_raters) <= _MAX_CELLS_OF_RATER
    keep = allowed[cells.rater]
    limit = int(size.max(initial=0))
    while limit > 1:
        degree = np.bincount(cells.rater[keep], minlength=n_raters).astype(np.float64)
        if (degree * degree).sum() <= _PAIR_BUDGET:
            break
        limit = int(limit * 0.7)
        keep = allowed[cells.rater] & (size[cells.cell] <= limit)
    incidence = csr_matrix(
        (np.ones(int(keep.sum()), dtype=np.int32), (cells.rater[keep], cells.cell[keep])),
        shape=(n_raters, len(size)),
    )
    return coo_matrix(triu(incidence.T @ incidence, k=1))


def _meeting_rates(events: EventTable, window_s: float | None) -> tuple[float, float]:
    """Chance, per pair of acts, that one rater did both: within one window, and anywhere.

    Sum of n (n - 1) over raters, over the square of all acts; within windows it is pooled over all
    windows, so that raters' sessions are in the null and one campaign hardly moves it.
    """
    n = np.bincount(events.rater, minlength=len(events.raters)).astype(np.float64)
    anywhere = float((n * (n - 1)).sum() / max(n.sum(), 1.0) ** 2)
    if window_s is None:
        return anywhere, anywhere
    window = np.floor(events.created_at_s / window_s).astype(np.int64)
    window -= window.min(initial=0)
    _, acts = np.unique(
        window * len(events.raters) + events.rater.astype(np.int64), return_counts=True
    )
    per_window = np.bincount(window).astype(np.float64)
    within = float((acts * (acts - 1.0)).sum() / max((per_window**2).sum(), 1.0))
    return max(within, anywhere), anywhere


def _overdispersion(observed: Float, expected: Float) -> float:
    """Factor by which ordinary pairs meet more often than expected (shared tastes), at least 1."""
    ordinary = expected >= 1
    if ordinary.sum() < 20:
        return 1.0
    capped = np.minimum(observed[ordinary], expected[ordinary] + 3 * np.sqrt(expected[ordinary]))
    return max(1.0, float(capped.sum() / expected[ordinary].sum()))


def _groups(
    events: EventTable, cells: _Cells, pairs: _Pairs, pattern: str, min_group: int
) -> list[Group]:
    graph: nx.Graph[int] = nx.Graph()
    telling = ~pairs.weak
    graph.add_edges_from(
        zip(pairs.first[telling].tolist(), pairs.second[telling].tolist(), strict=True)
    )
    members = _cell_members(cells, set(graph.nodes))
    found = []
    for component in sorted(nx.connected_components(graph), key=min):
        ends = list(component)
        inside = np.isin(pairs.first, ends) & np.isin(pairs.second, ends)
        raters = _shared(pairs, inside & telling, members)
        if len(raters) >= min_group:
            raters |= _shared(pairs, inside & pairs.weak, members)
            best = int(np.flatnonzero(inside)[np.argmin(pairs.log_p[inside])])
            found.append(
                _group(events, cells, pairs, best, pattern=pattern, among=(component, raters))
            )
    return found


def _shared(pairs: _Pairs, which: NDArray[np.bool_], members: dict[int, set[int]]) -> set[int]:
    """Raters in both cells of any of these pairs."""
    found: set[int] = set()
    for a, b in zip(pairs.first[which].tolist(), pairs.second[which].tolist(), strict=True):
        found |= members[a] & members[b]
    return found


def _cell_members(cells: _Cells, wanted: set[int]) -> dict[int, set[int]]:
    keep = np.isin(cells.cell, list(wanted))
    members: dict[int, set[int]] = {cell: set() for cell in wanted}
    for cell, rater in zip(cells.cell[keep].tolist(), cells.rater[keep].tolist(), strict=True):
        members[cell].add(rater)
    return members


def _group(
    events: EventTable,
    cells: _Cells,
    pairs: _Pairs,
    best: int,
    *,
    pattern: str,
    among: tuple[set[int], set[int]],
) -> Group:
    component, raters = among
    index = sorted(component)
    responses = np.unique(cells.response[index])
    ups = cells.is_up[index]
    rows = np.isin(events.response, responses) & np.isin(events.rater, list(raters))
    p_lie = events.p_lie[rows]
    measured = p_lie[~np.isnan(p_lie)]
    names = tuple(sorted(events.raters[r] for r in raters))
    at = events.created_at_s[rows]
    return Group(
        group_id=digest(pattern, *names)[:16],
        pattern=pattern,
        direction="up" if ups.all() else "mixed" if ups.any() else "down",
        raters=names,
        responses=tuple(events.responses[r] for r in responses),
        observed=int(pairs.observed[best]),
        expected=float(pairs.expected[best]),
        log10_p=float(min(pairs.log_p[best], 0.0) / _LN10),
        p_lie=float(measured.mean()) if len(measured) else None,
        first_s=float(at.min()),
        last_s=float(at.max()),
    )


def without_repeats(groups: list[Group]) -> tuple[Group, ...]:
    """Surest first, leaving out a group whose raters are mostly in a surer one."""
    kept: list[Group] = []
    for group in sorted(groups, key=lambda g: (g.log10_p, -len(g.raters), g.group_id)):
        own = set(group.raters)
        if all(len(own & set(other.raters)) <= len(own) / 2 for other in kept):
            kept.append(group)
    return tuple(kept)
