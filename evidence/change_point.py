"""Since when: the most likely start of a rise, from a history that grows with the logarithm of its length.

Scores are kept in blocks: the newest as single scores, older ones in blocks of two, four, eight and so
on (the exponential histogram of Datar and others, 2002), so that the start of a rise is known to a
fixed fraction of its age.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from evidence.e_process import Floats

BLOCKS_PER_SIZE = 5


class Block(msgspec.Struct, frozen=True, array_like=True):
    """`n` consecutive scores: their sum, and position and time (seconds) of the first."""

    n: int
    total: float
    position: int
    at_s: int


class ChangePoint(msgspec.Struct, frozen=True, kw_only=True):
    """Start of a rise with its interval, and the mean from the start on.

    `mean` is taken from the scores that raised the alarm and is therefore inflated.
    """

    position: int
    lower: int
    upper: int
    at_s: float
    lower_at_s: float
    upper_at_s: float
    n: int
    mean: float


def push(blocks: list[Block], position: int, at_s: float, score: float) -> None:
    """Append one score and merge old blocks, in place. Amortised O(1), at worst O(log n)."""
    blocks.append(Block(1, score, position, int(at_s)))
    size, end = 1, len(blocks)
    while True:
        start = end
        while start > 0 and blocks[start - 1].n == size:
            start -= 1
        if end - start <= BLOCKS_PER_SIZE:
            return
        old, new = blocks[start], blocks[start + 1]
        blocks[start : start + 2] = [
            Block(old.n + new.n, old.total + new.total, old.position, old.at_s)
        ]
        size, end = size * 2, start + 1


def locate(blocks: Iterable[Block], drop: float = 4.0) -> ChangePoint | None:
    """The start that maximises the two-segment likelihood among rises; None without a rise.

    The likelihood is Bernoulli's with the scores as fractional counts: exact for 0/1 scores and too
    wide for less variable ones. The interval holds the starts within `drop` of the maximum;
    see docs/statistics.md for its measured coverage.
    """
    items = list(blocks)
    if len(items) < 2:
        return None
    n = np.array([b.n for b in items], dtype=np.float64)
    total = np.array([b.total for b in items])
    n_before, sum_before = np.cumsum(n)[:-1], np.cumsum(total)[:-1]
    n_after, sum_after = n.sum() - n_before, total.sum() - sum_before
    before, after = sum_before / n_before, sum_after / n_after
    likelihood = n_before * _negative_entropy(before) + n_after * _negative_entropy(after)
    likelihood = np.where(after > before, likelihood, -np.inf)
    best = int(np.argmax(likelihood))
    if not np.isfinite(likelihood[best]):
        return None
    close = np.flatnonzero(likelihood >= likelihood[best] - drop) + 1
    # A start inside a merged block is only known to lie before the next one.
    last = min(int(close[-1]) + (1 if items[int(close[-1])].n > 1 else 0), len(items) - 1)
    first = items[int(close[0])]
    if items[int(close[0]) - 1].n > 1:
        first = items[int(close[0]) - 1]
    start = items[best + 1]
    return ChangePoint(
        position=start.position,
        lower=first.position,
        upper=items[last].position,
        at_s=float(start.at_s),
        lower_at_s=float(first.at_s),
        upper_at_s=float(items[last].at_s),
        n=int(n_after[best]),
        mean=float(after[best]),
    )


def _negative_entropy(p: Floats) -> Floats:
    p = np.clip(p, 1e-12, 1.0 - 1e-12)
    return np.asarray(p * np.log(p) + (1.0 - p) * np.log1p(-p))
