"""Whether two answers mean the same, by their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evidence import digest as digest_of

LIKENESS = 0.75
"""Cosine from which two answers are taken to mean the same."""
STEEPNESS = 12.0


class Embeds(Protocol):
    """Turns texts into unit vectors of shape (texts, width)."""

    digest: str

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


def same_meaning(cosine: Any, likeness: float = LIKENESS) -> Any:
    """Probability in [0, 1] that texts of this cosine mean the same: one half at `likeness`.

    Embeddings see topic better than negation: "it was" and "it was not" are alike. A judge sees the
    difference; this is the cheap comparison.
    """
    return 1.0 / (1.0 + np.exp(-STEEPNESS * (np.asarray(cosine) - likeness)))


class EmbeddingComparer:
    """Compares answers by cosine."""

    def __init__(self, embedder: Embeds) -> None:
        self._embedder = embedder

    @property
    def digest(self) -> str:
        return digest_of("cosine-1", self._embedder.digest, repr((LIKENESS, STEEPNESS)))

    def agreement(self, answers: Sequence[str], responses: Sequence[str]) -> list[float]:
        """Probability that each answer means the same as its response."""
        texts = list(dict.fromkeys([*answers, *responses]))
        place = {text: k for k, text in enumerate(texts)}
        vectors = self._embedder.embed(texts)
        return [
            float(same_meaning(vectors[place[a]] @ vectors[place[r]]))
            for a, r in zip(answers, responses, strict=True)
        ]
