"""A threshold on p_lie that bounds the share of lies that are shown, whatever p_lie is worth.

Source: conformal risk control (Angelopoulos, Bates, Fisch, Lei, Schuster 2022, arXiv 2208.02814,
theorem 1), with the loss "the answer is a lie and was shown", which grows with the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Audited(msgspec.Struct, frozen=True):
    """What the labels of a random audit allow.

    Parameters
    ----------
    threshold
        Answers with p_lie up to this may be shown; None when the labels are too few, or tell of too
        many lies, to let any be shown.
    n
        Labelled answers.
    lies
        Lies among them.
    """

    threshold: float | None
    n: int
    lies: int


def shown_lie_threshold(labelled: Sequence[tuple[float, bool]], max_shown_lies: float) -> Audited:
    """The largest threshold with (lies shown + 1) / (n + 1) ≤ `max_shown_lies`.

    If the next answer and the labelled ones are exchangeable, such as drawn at random from the same
    traffic, then it is a lie that is shown with probability at most `max_shown_lies`, over the draw of
    both. Nothing is assumed of p_lie.

    Parameters
    ----------
    labelled
        p_lie and whether it is a lie, of answers that a random audit chose with equal probabilities.
    max_shown_lies
        In (0, 1).
    """
    n = len(labelled)
    lying = sorted(p for p, lie in labelled if lie)
    allowed = int(max_shown_lies * (n + 1) + 1e-9) - 1
    if allowed < 0:
        return Audited(None, n, len(lying))
    if allowed >= len(lying):
        return Audited(1.0, n, len(lying))
    # With this lie's score as the threshold one lie too many would be shown: stay below it.
    first_too_many = lying[allowed]
    below = [p for p, _ in labelled if p < first_too_many]
    return Audited(max(below, default=None), n, len(lying))
