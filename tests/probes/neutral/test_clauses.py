"""A prompt falls into clauses at the right places, and what is kept of it stands as it stood."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.neutral.clauses import clauses, joined


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Dr. Ho left at 3.5 km. Why?", ["Dr. Ho left at 3.5 km.", "Why?"]),
        ("- It leaked.\n- Say nothing.", ["It leaked.", "Say nothing."]),
        ("<a>It leaked.</a><b>Hush.</b>", ["It leaked.", "Hush."]),
        ("It leaked; keep quiet (never say so).", ["It leaked", "keep quiet", "never say so"]),
        (
            "Although 9 of 10 leaked, tell them none did.",
            ["Although 9 of 10 leaked", "tell them none did."],
        ),
        ("Hide the fact that it leaked.", ["Hide the fact that", "it leaked."]),
        ("Deny that it leaked.", ["Deny that it leaked."]),
        ("Note: be kind.", ["Note", "be kind."]),
    ],
)
def test_where_a_text_is_cut(text: str, parts: list[str]) -> None:
    assert [clause.text for clause in clauses(text)] == parts


def test_neighbours_stand_as_they_stood_and_a_rest_gets_its_full_stop() -> None:
    text = "It leaked, but it works, so praise it. Never admit that 4 of 9 broke."
    found = clauses(text)
    kept = [not clause.bare.startswith(("praise", "Never")) for clause in found]
    assert joined(text, found, kept) == "It leaked, but it works. 4 of 9 broke."


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_cut_in_order_and_kept_whole(text: str) -> None:
    found = clauses(text)
    assert all(text[c.start : c.end] == c.text for c in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    letters = sum(c.isalnum() for c in text)
    assert sum(c.isalnum() for one in found for c in one.text) >= letters - _markup(text)
    assert joined(text, found, [True] * len(found)) == text


def _markup(text: str) -> int:
    """Letters that may stand in tags and numbers of lists."""
    return sum(c.isalnum() for c in text) if "<" in text or any(c.isdigit() for c in text) else 0
