"""Whether two answers to one question say the same: read by the reader of premises, both ways."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evidence import digest as digest_of
from probes.premise.evidence import Reads

_DOUBT = 0.05
"""Weight of one half where the reader finds that the answers bear on one another as good as not."""
_LEAD = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)


class Comparer(Protocol):
    """Says whether answers mean the same."""

    @property
    def digest(self) -> str: ...

    def agreement(self, answers: Sequence[str], responses: Sequence[str]) -> list[float]:
        """Probability that each answer asserts the same as its response, in [0, 1]."""
        ...


def opposed(first: str, second: str) -> bool:
    """Whether one text begins with yes and the other with no.

    >>> opposed("Yes, it was.", "No."), opposed("Yes.", "It was.")
    (True, False)
    """
    leads = [_LEAD.match(text) for text in (first, second)]
    return len({lead.group(1).lower() for lead in leads if lead}) == 2


class PremiseComparer:
    """Answers mean the same as far as each bears out the other and does not contradict it.

    Of the probabilities of both ways, entailment over entailment and contradiction: two answers of which
    one says more than the other are no contradiction. Yes set against no never agrees.
    """

    def __init__(self, reader: Reads) -> None:
        self._reader = reader

    @property
    def digest(self) -> str:
        return digest_of("premise-comparer-1", self._reader.digest, repr(_DOUBT))

    def agreement(self, answers: Sequence[str], responses: Sequence[str]) -> list[float]:
        """Probability that each answer means the same as its response."""
        pairs = list(zip(answers, responses, strict=True))
        asked = [(a, r) for a, r in dict.fromkeys(pairs) if not opposed(a, r) and not _same(a, r)]
        forth_and_back = [way for a, r in asked for way in ((a, r), (r, a))]
        read = self._reader.read(forth_and_back).reshape(len(asked), 2, 3).sum(1)
        borne_out, contradicted = read[:, 0] + _DOUBT, read[:, 2] + _DOUBT
        found = dict(zip(asked, borne_out / (borne_out + contradicted), strict=True))
        return [0.0 if opposed(a, r) else float(found.get((a, r), 1.0)) for a, r in pairs]


def agreements(comparer: Comparer, texts: Sequence[str]) -> NDArray[np.float64]:
    """Agreement of each of these texts with each, shape (texts, texts); 1 with itself."""
    out = np.eye(len(texts))
    both = list(itertools.combinations(range(len(texts)), 2))
    found = comparer.agreement([texts[i] for i, _ in both], [texts[j] for _, j in both])
    for (i, j), p in zip(both, found, strict=True):
        out[i, j] = out[j, i] = p
    return out


def _same(first: str, second: str) -> bool:
    return first.split() == second.split()
