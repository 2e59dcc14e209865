"""Which tokens of a response make its claim: the sentence that what was told bears on most."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_END = re.compile(r"[.!?…。！？]['\"”’)]*\s*$|\n\s*$")
_FEWEST = 3


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
    """The sentence with the largest sum of |told|, where `told` has shape (tokens,): by how much what was
    told changes the log-likelihood of each token.

    A greeting is as likely with the facts as without; the sentence that answers from them is not.
    """
    found = sentences(tokens)
    return max(found, key=lambda part: float(np.abs(told[part.start : part.stop]).sum()))
