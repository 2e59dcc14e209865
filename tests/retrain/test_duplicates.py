from __future__ import annotations

import random

from candor_guard.rows import ChatMessage, Provenance, Row
from retrain.duplicates import near_duplicates

WORDS = [f"word{i}" for i in range(500)]


def _row(words: list[str], rater: str) -> Row:
    messages = (ChatMessage("user", "tell me"), ChatMessage("assistant", " ".join(words)))
    return Row(messages=messages, provenance=Provenance(source="s", rater=rater))


def test_copies_with_small_edits_are_one_group_and_others_none() -> None:
    rng = random.Random(3)
    base = rng.sample(WORDS, 60)
    copies = []
    for i in range(4):
        words = list(base)
        words[rng.randrange(60)] = f"changed{i}"
        copies.append(_row(words, f"u{i % 2}"))
    others = [_row(rng.sample(WORDS, 60), "u9") for _ in range(30)]
    rows = [others[0], copies[0], *others[1:15], copies[1], copies[2], *others[15:], copies[3]]
    (group,) = near_duplicates(rows)
    assert [rows[i] for i in group.rows] == copies
    assert group.raters == 2
    assert near_duplicates(others) == []


def test_exact_copies_and_short_texts() -> None:
    rows = [_row(["yes"], "a"), _row(["no"], "b"), _row(["yes"], "c")]
    (group,) = near_duplicates(rows, similarity=0.9)
    assert group.rows == (0, 2)
    assert near_duplicates([]) == []
