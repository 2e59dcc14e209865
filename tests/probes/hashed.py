"""Embeddings and agreement that depend on the texts alone, for tests that need no meaning."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np


class HashEmbedder:
    """Unit vectors that depend on the text alone."""

    digest = "hash"

    def embed(self, texts: Any) -> Any:
        rows = []
        for text in texts:
            seed = int.from_bytes(text.encode("utf-8", "replace")[:8].ljust(8, b"."), "big")
            rows.append(np.random.default_rng(seed).normal(size=8))
        vectors = np.array(rows, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class HashComparer:
    """Answers agree by chance, always alike for two texts."""

    digest = "hash"

    def agreement(self, answers: Any, responses: Any) -> list[float]:
        return [
            1.0 if a == r else zlib.crc32(repr(sorted((a, r))).encode()) % 1000 / 1000
            for a, r in zip(answers, responses, strict=True)
        ]
