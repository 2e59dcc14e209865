"""Whether two answers to one question mean the same, by their embeddings and by yes and no."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evidence import digest as digest_of

LIKENESS = 0.5
"""Cosine from which two answers are taken to mean the same."""
STEEPNESS = 12.0
_LEAD = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)


class Embeds(Protocol):
    """Turns texts into unit vectors of shape (texts, width)."""

    digest: str

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


def same_meaning(cosine: Any, likeness: float = LIKENESS) -> Any:
    """Probability in [0, 1] that texts of this cosine mean the same: one half at `likeness`.

    Embeddings see topic better than negation: "it was" and "it was not" are alike.
    """
    return 1.0 / (1.0 + np.exp(-STEEPNESS * (np.asarray(cosine) - likeness)))


def likeness(embedder: Embeds, answers: Sequence[str]) -> NDArray[np.float32]:
    """Cosines of answers to one question, shape (answers, answers).

    It is -1 where one begins with yes and the other with no: embeddings do not see that.
    """
    vectors = embedder.embed(answers)
    opposed = np.array([[_opposed(a, b) for b in answers] for a in answers], bool)
    return np.where(opposed, np.float32(-1.0), vectors @ vectors.T)


def _opposed(a: str, b: str) -> bool:
    leads = [_LEAD.match(text) for text in (a, b)]
    return len({lead.group(1).lower() for lead in leads if lead}) == 2


class EmbeddingComparer:
    """Compares answers by cosine, and by the yes or no that they begin with."""

    def __init__(self, embedder: Embeds) -> None:
        self._embedder = embedder

    @property
    def digest(self) -> str:
        return digest_of("cosine-2", self._embedder.digest, repr((LIKENESS, STEEPNESS)))

    def agreement(self, answers: Sequence[str], responses: Sequence[str]) -> list[float]:
        """Probability that each answer means the same as its response."""
        texts = list(dict.fromkeys([*answers, *responses]))
        place = {text: k for k, text in enumerate(texts)}
        vectors = self._embedder.embed(texts)
        return [
            float(same_meaning(-1.0 if _opposed(a, r) else vectors[place[a]] @ vectors[place[r]]))
            for a, r in zip(answers, responses, strict=True)
        ]
