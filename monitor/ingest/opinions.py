"""What a user's score or label says, as the value of feedback: from -1, against, to 1, in favour."""

from __future__ import annotations

from typing import Any

_UP = frozenset(
    {
        "up",
        "thumb_up",
        "thumbs_up",
        "thumbsup",
        "positive",
        "good",
        "like",
        "liked",
        "helpful",
        "👍",
    }
    | {"upvote", "accepted", "yes", "true"}
)
_DOWN = frozenset(
    {"down", "thumb_down", "thumbs_down", "thumbsdown", "negative", "bad", "dislike", "disliked"}
    | {"not_helpful", "unhelpful", "downvote", "rejected", "no", "false", "👎"}
)


def opinion(score: Any, label: Any = None) -> float | None:
    """The value of a label, where it is a word that is known, else of the score; None where neither tells.

    A truth value is 1 or -1; a number from -1 to 1 is taken as it is, so that 0 is neither.

    >>> opinion(0, "thumbs-down"), opinion(True), opinion(0.5), opinion(4)
    (-1.0, 1.0, 0.5, None)
    """
    word = (
        label.strip().lower().replace("-", "_").replace(" ", "_") if isinstance(label, str) else ""
    )
    if word in _UP or word in _DOWN:
        return 1.0 if word in _UP else -1.0
    if isinstance(score, bool):
        return 1.0 if score else -1.0
    if isinstance(score, int | float) and -1 <= score <= 1:
        return float(score)
    return None
