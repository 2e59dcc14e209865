"""Which tokens of a response make its claim: the sentence that what was told bears on most."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_END = re.compile(r"[.!?…。！？]['\"”’)]*\s*$|\n\s*$")
_FEWEST = 3
_BEARING_NATS = 1.0
"""So much, and less, words of any sentence gain or lose by whatever stands before them."""


def sentences(tokens: Sequence[str]) -> list[range]:
    """Positions of the tokens of each sentence, in order; none is shorter than three tokens but the last.

    >>> sentences(("No", ",", " it", " is", ".", " Bye", " now", "."))
    [range(0, 5), range(5, 8)]
    """
    out: list[range] = []
    start = 0
    for i, token in enumerate(tokens):
        if _END.search(token) and i + 1 - start >= _FEWEST:
            out.append(range(start, i + 1))
            start = i + 1
    if start < len(tokens):
        out.append(range(start, len(tokens)))
    return out


def claim(tokens: Sequence[str], told: NDArray[np.float64]) -> range:
    """The sentence that what was told bears on most, where `told` has shape (tokens,): by how much it
    changes the log-likelihood of each token.

    What counts of a token is by how much |told| is over one nat: a greeting is about as likely with
    the facts as without, but a long one has many tokens.
    """

    def bearing(part: range) -> tuple[float, float]:
        size = np.abs(told[part.start : part.stop])
        return float(np.maximum(size - _BEARING_NATS, 0.0).sum()), float(size.sum())

    return max(sentences(tokens), key=bearing)
