"""Near-duplicate rows: one text told many times weighs many times."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from candor_guard.rows import Row

_SHINGLE = 3


class DuplicateGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Rows (0-based positions, ascending) whose texts are alike, and from how many raters they came."""

    rows: tuple[int, ...]
    raters: int


def near_duplicates(
    rows: Iterable[Row], *, similarity: float = 0.8, permutations: int = 128
) -> list[DuplicateGroup]:
    """Groups of two or more rows whose prompt and response share at least about `similarity` of
    their three-word shingles (Jaccard), by MinHash and banding (Broder 1997), largest first.

    Chains join: A like B and B like C puts all three in one group. The estimate's standard error
    at similarity s is sqrt(s (1 - s) / permutations), 0.035 at the defaults.
    """
    from datasketch import MinHash, MinHashLSH  # noqa: PLC0415 -- of the retrain extra

    index = MinHashLSH(threshold=similarity, num_perm=permutations)
    parent: list[int] = []
    raters: list[str | None] = []
    sketches: list[MinHash] = []
    for number, row in enumerate(rows):
        sketch = MinHash(num_perm=permutations, seed=1)
        sketch.update_batch([shingle.encode() for shingle in _shingles(row)])
        parent.append(number)
        raters.append(row.provenance.rater)
        for other in index.query(sketch):
            if sketch.jaccard(sketches[other]) >= similarity:
                parent[_root(parent, number)] = _root(parent, other)
        index.insert(number, sketch)
        sketches.append(sketch)
    groups: dict[int, list[int]] = {}
    for number in range(len(parent)):
        groups.setdefault(_root(parent, number), []).append(number)
    found = [
        DuplicateGroup(rows=tuple(group), raters=len({raters[i] for i in group}))
        for group in groups.values()
        if len(group) > 1
    ]
    return sorted(found, key=lambda group: (-len(group.rows), group.rows))


def surplus_rows(rows: Iterable[Row], most: int | None) -> frozenset[int]:
    """Positions of rows beyond the first `most` of each group of near-duplicates; none for None."""
    if most is None:
        return frozenset()
    return frozenset(i for group in near_duplicates(rows) for i in group.rows[most:])


def _root(parent: list[int], number: int) -> int:
    while parent[number] != number:
        parent[number] = parent[parent[number]]
        number = parent[number]
    return number


def _shingles(row: Row) -> set[str]:
    text = " ".join([*(m.content for m in row.prompt_messages()), row.response_text()])
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[i : i + _SHINGLE]) for i in range(max(1, len(words) - _SHINGLE + 1))}
