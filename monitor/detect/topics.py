"""Topics of texts: clusters of embeddings, named by their telling words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Unit vectors of texts, shape (texts, dimensions)."""

_MOST_TOPICS = 6
_LEAST_TEXTS = 20
_WORDS = 3


def topics(texts: Sequence[str], embed: Embed, *, seed: int = 0) -> tuple[list[int], list[str]]:
    """The topic of each text, and each topic's name; a single topic where no clusters stand out.

    k-means on embeddings; of 2 to 6 clusters the number with the best silhouette (Rousseeuw 1987).
    """
    from sklearn.cluster import KMeans  # noqa: PLC0415 -- an optional extra, slow to import
    from sklearn.metrics import silhouette_score  # noqa: PLC0415

    if len(texts) < _LEAST_TEXTS:
        return [0] * len(texts), ["all"]
    distinct = sorted(set(texts))
    place = {text: i for i, text in enumerate(distinct)}
    vectors = embed(distinct)[[place[text] for text in texts]]
    best: tuple[float, list[int]] = (0.0, [0] * len(texts))
    for k in range(2, min(_MOST_TOPICS, len(distinct)) + 1):
        found = KMeans(k, n_init=4, random_state=seed).fit_predict(vectors)
        score = float(silhouette_score(vectors, found))
        if score > best[0]:
            best = (score, [int(label) for label in found])
    return best[1], _names(texts, best[1])


def _names(texts: Sequence[str], labels: Sequence[int]) -> list[str]:
    """The words that a topic has more of than the rest, by mean tf-idf."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415

    count = max(labels) + 1
    if count == 1:
        return ["all"]
    reader = TfidfVectorizer(stop_words="english", max_features=2_000)
    try:
        table = reader.fit_transform(texts)
    except ValueError:  # texts without a single word
        return [f"topic {i + 1}" for i in range(count)]
    words, chosen = reader.get_feature_names_out(), np.asarray(labels)
    names = []
    for topic in range(count):
        inside = np.asarray(table[chosen == topic].mean(axis=0)).ravel()
        outside = np.asarray(table[chosen != topic].mean(axis=0)).ravel()
        names.append(", ".join(words[i] for i in np.argsort(outside - inside)[:_WORDS]))
    return names
