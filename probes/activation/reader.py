"""Features of a response from a reader model's hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from probes.models.states import StateReader
from probes.probe import Transcript

Floats = NDArray[np.float32]
View = Literal["contrast", "mean_last"]
"""What of the hidden states is a feature: `contrast` sets the response off against its prompt,
`mean_last` reads the response alone (artefacts of the first schema)."""


class Reading(NamedTuple):
    """What the reader saw of one response.

    `features` has shape (layers, features), see `pool`; no layer when there is no response.
    `n_response` and `n_tokens` count tokens after truncation.
    """

    features: Floats
    n_response: int
    n_tokens: int


class Reader:
    """Reads transcripts with a causal model, in batches of like length.

    Parameters
    ----------
    model
        The reader, in process or served; best the assistant's own weights.
    layers
        Blocks whose output is read, 1 = the first. Higher blocks are not computed.
    max_tokens
        Longer transcripts lose their middle; system prompt, last turn and response stay.
    view
        Which features are made of the states.
    """

    def __init__(
        self,
        model: StateReader,
        layers: Sequence[int],
        max_tokens: int = 768,
        view: View = "contrast",
    ) -> None:
        self.model, self.layers, self.max_tokens = model, tuple(layers), max_tokens
        self.view: View = view

    def read(self, transcripts: Sequence[Transcript]) -> list[Reading]:
        """One reading for each transcript, in order."""
        encoded = [
            self.model.encode(t.prompt, t.response, max_tokens=self.max_tokens) for t in transcripts
        ]
        states = self.model.hidden(encoded, self.layers, whole=True)
        return [
            Reading(pool(state, len(item.response), self.view), len(item.response), len(item))
            for item, state in zip(encoded, states, strict=True)
        ]


def pool(states: Floats, n_response: int, view: View = "contrast") -> Floats:
    """Features of shape (layers, features) from states of shape (layers, tokens, width).

    The last `n_response` tokens are the response, the rest is its prompt. `contrast` is the mean
    state over the response less that over the prompt, the last state less the prompt's last, and
    the mean itself: what the prompt is about is in both, so the differences show what the response
    did with it. `mean_last` is the mean and the last state of the response.
    """
    width = states.shape[2]
    if not n_response or not states.shape[1]:
        return np.zeros((0, (3 if view == "contrast" else 2) * width), np.float32)
    prompt, response = states[:, :-n_response], states[:, -n_response:]
    mean, last = response.mean(axis=1), response[:, -1]
    if view == "mean_last":
        return np.concatenate([mean, last], axis=-1).astype(np.float32)
    if prompt.shape[1]:
        before, latest = prompt.mean(axis=1), prompt[:, -1]
    else:
        before = latest = np.zeros_like(mean)
    return np.concatenate([mean - before, last - latest, mean], axis=-1).astype(np.float32)
