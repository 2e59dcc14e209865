"""Features of a response from a reader model's hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from probes.models.local import LocalModel
from probes.probe import Transcript

Floats = NDArray[np.float32]

WINDOW = 128
"""Tokens of a rolling window; a response longer than two windows is also read window by window."""


class Reading(NamedTuple):
    """What the reader saw of one response.

    `windows` has shape (windows, layers, 2 * width): for each window its mean state and its last
    state. The first window is the whole response; a long response has rolling ones after it. No
    response, no windows. `n_response` and `n_tokens` count tokens after truncation.
    """

    windows: Floats
    n_response: int
    n_tokens: int


class Reader:
    """Reads transcripts with a causal model, in batches of like length.

    Parameters
    ----------
    model
        The reader; best the assistant's own weights.
    layers
        Blocks whose output is read, 1 = the first. Higher blocks are not computed.
    max_tokens
        Longer transcripts lose their middle; system prompt, last turn and response stay.
    """

    def __init__(self, model: LocalModel, layers: Sequence[int], max_tokens: int = 768) -> None:
        self.model, self.layers, self.max_tokens = model, tuple(layers), max_tokens

    def read(self, transcripts: Sequence[Transcript]) -> list[Reading]:
        """One reading for each transcript, in order."""
        encoded = [
            self.model.encode(t.prompt, t.response, max_tokens=self.max_tokens) for t in transcripts
        ]
        states = self.model.hidden(encoded, self.layers)
        return [
            Reading(pool(state), len(item.response), len(item))
            for item, state in zip(encoded, states, strict=True)
        ]


def pool(states: Floats) -> Floats:
    """Whole-response features, then those of half-overlapping windows of a long response.

    `states` has shape (layers, tokens, width). A lie of one sentence is thinned out by the mean of
    a long answer; the largest score over rolling means keeps it (arXiv 2601.11516).
    """
    layers, tokens, width = states.shape
    if not tokens:
        return np.zeros((0, layers, 2 * width), np.float32)
    spans = [(0, tokens)]
    if tokens > 2 * WINDOW:
        spans += [(start, start + WINDOW) for start in range(0, tokens - WINDOW + 1, WINDOW // 2)]
    rows = [
        np.concatenate([states[:, a:b].mean(axis=1), states[:, b - 1]], axis=-1) for a, b in spans
    ]
    return np.stack(rows).astype(np.float32)
