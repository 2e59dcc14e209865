"""Grouping sequences into left-padded batches of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def buckets(lengths: Sequence[int], max_batch_tokens: int) -> Iterator[list[int]]:
    """Positions grouped by length so that a padded batch has at most `max_batch_tokens` cells.

    Longest first, so that memory peaks at the start. A sequence longer than the limit goes alone.
    Within a batch the shortest has at least 3/4 of the longest's length, short ones excepted: that
    bounds the work spent on padding.

    >>> list(buckets([3, 100, 90, 4], 200))
    [[1, 2], [3, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batch: list[int] = []
    for i in order:
        longest = lengths[batch[0]] if batch else lengths[i]
        too_many = (len(batch) + 1) * longest > max_batch_tokens
        too_short = lengths[i] < 0.75 * longest and longest - lengths[i] > 16
        if batch and (too_many or too_short):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def left_padded(
    rows: Sequence[Sequence[int]], pad_id: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids and attention mask, both of shape (rows, longest).

    >>> left_padded([[5], [6, 7]], 0)
    ([[0, 5], [6, 7]], [[0, 1], [1, 1]])
    """
    width = max(len(row) for row in rows)
    ids = [[pad_id] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return ids, mask
