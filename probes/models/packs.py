"""Token sequences that begin alike, laid out so that what they share is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Pack(NamedTuple):
    """Several sequences as one tree of tokens, a parent always before its children.

    Nodes are numbered with those that were read before first: a node below `len(past)` is a place in
    `past`, the others are places in `ids` after that.

    Parameters
    ----------
    past
        What was read before and is needed here, by the number that it is kept under.
    ids
        Token of each new node, shape (new,).
    places
        How many tokens come before it in its sequence, shape (new,).
    seen
        Whether a new node (row) attends to another (column): itself and what comes before it in its own
        sequence, shape (new, past + new).
    paths
        For each sequence of the pack its position in the call and the node of each of its tokens.
    """

    past: NDArray[np.int64]
    ids: NDArray[np.int64]
    places: NDArray[np.int64]
    seen: NDArray[np.bool_]
    paths: tuple[tuple[int, NDArray[np.int64]], ...]


def packs(
    sequences: Sequence[Sequence[int]],
    max_nodes: int,
    kept: Sequence[Sequence[int]] | None = None,
) -> Iterator[Pack]:
    """Sequences that begin alike side by side, at most `max_nodes` tokens in a pack, new or kept.

    `kept` names, for each sequence, the tokens that it begins with and that need not be read again; one
    beginning has the same names in all sequences. What follows them is read, also where another
    sequence need not read it. A sequence longer than `max_nodes` goes alone. The
    order of packs is that of the tokens.

    >>> [len(pack.ids) for pack in packs([[1, 2, 3], [1, 2, 4], [9]], 5)]
    [5]
    >>> [len(pack.ids) for pack in packs([[1, 2, 3], [1, 2, 4], [9]], 4)]
    [4, 1]
    >>> [len(pack.ids) for pack in packs([[1, 2, 3], [1, 2, 4], [9]], 5, [[7, 8], [7], []])]
    [4]
    """
    names = kept or [()] * len(sequences)
    order = sorted(range(len(sequences)), key=lambda i: tuple(sequences[i]))
    group: list[int] = []
    nodes, last = 0, -1
    for i in order:
        common = _common(sequences[last], sequences[i]) if group else 0
        if group and nodes + len(sequences[i]) - common > max_nodes:
            yield _pack(sequences, names, group)
            group, nodes, common = [], 0, 0
        group.append(i)
        nodes, last = nodes + len(sequences[i]) - common, i
    if group:
        yield _pack(sequences, names, group)


def distinct_tokens(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens are left when shared beginnings count once.

    >>> distinct_tokens([[1, 2, 3], [1, 2, 4], [9]])
    5
    """
    order = sorted(tuple(sequence) for sequence in sequences)
    shared = sum(_common(a, b) for a, b in pairwise(order))
    return sum(map(len, order)) - shared


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    for n, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return n
    return min(len(one), len(other))


def _pack(
    sequences: Sequence[Sequence[int]], kept: Sequence[Sequence[int]], group: Sequence[int]
) -> Pack:
    past = sorted({name for i in group for name in kept[i]})
    place = {name: k for k, name in enumerate(past)}
    ids: list[int] = []
    before: list[list[int]] = []  # of each new node, all nodes that it sees
    paths: list[tuple[int, NDArray[np.int64]]] = []
    path: list[int] = []
    last: Sequence[int] = ()
    for i in group:
        sequence = sequences[i]
        common = _common(last, sequence)
        own = len(kept[i])
        if common > own and path[own] >= len(past):  # what another begins with may be read here
            path = path[:common]
        else:
            path = [place[name] for name in kept[i]]
        for token in sequence[len(path) :]:
            path.append(len(past) + len(ids))
            ids.append(token)
            before.append(path.copy())
        paths.append((i, np.asarray(path, np.int64)))
        last = sequence
    seen = np.zeros((len(ids), len(past) + len(ids)), np.bool_)
    for row, nodes in zip(seen, before, strict=True):
        row[nodes] = True
    places = np.asarray([len(nodes) - 1 for nodes in before], np.int64)
    return Pack(np.asarray(past, np.int64), np.asarray(ids, np.int64), places, seen, tuple(paths))
