"""The random rows of a release that a person reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from candor_guard.rows import Row

REVIEWED_ROWS = 100
"""Rows of each release that go to the review queue."""


class ReviewRow(msgspec.Struct, frozen=True, kw_only=True):
    """A chosen row: its 0-based position among the released ones, its digest (hex), its response if it
    came from traffic, and the probability with which any row of the release was chosen."""

    index: int
    digest: str
    response_id: str | None
    inclusion_probability: float


def review_sample(
    released: Iterable[Row], count: int, decision_id: str, *, size: int = REVIEWED_ROWS
) -> Iterator[ReviewRow]:
    """`size` of the `count` released rows, or all of fewer, without replacement.

    Which ones follows from the decision's id: a person cannot draw again, and a record made twice
    is the same. Nobody knows the id before the rows are fixed, since it hashes them.
    """
    if count <= 0:
        return
    seed = int.from_bytes(decision_id.encode()[:64], "big")
    picked = set(
        np.random.default_rng(seed).choice(count, size=min(size, count), replace=False).tolist()
    )
    for index, row in enumerate(released):
        if index in picked:
            yield ReviewRow(
                index=index,
                digest=row.digest().hex(),
                response_id=row.provenance.response_id,
                inclusion_probability=len(picked) / count,
            )
