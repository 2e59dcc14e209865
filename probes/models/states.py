"""What the activation probes ask of a model: its tokens, its hidden states, a short answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from probes.models.chat import Chat
from probes.models.encoding import Encoded

States = np.ndarray[Any, np.dtype[np.float32]]
"""Residual stream of one sequence, float32 of shape (layers, tokens, width)."""


class StateReader(Protocol):
    """A causal model whose residual stream can be read: in process, or behind a server."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def digest(self) -> str:
        """Identity of its weights, as far as they can be known, and of its tokenizer."""
        ...

    @property
    def dtype(self) -> str:
        """Precision that its states are computed in, such as `float32`."""
        ...

    @property
    def n_layers(self) -> int:
        """How many blocks it has."""
        ...

    @property
    def width(self) -> int:
        """Width of its residual stream."""
        ...

    def encode(self, chat: Chat, response: str = "", *, max_tokens: int | None = None) -> Encoded:
        """Token ids of a conversation and the assistant turn after it."""
        ...

    def hidden(
        self, encoded: Sequence[Encoded], layers: Sequence[int], *, whole: bool = False
    ) -> list[States]:
        """Residual stream after the given blocks (1 = the first) at every response token.

        With `whole` the prompt's tokens come before the response's. A sequence without a response
        has no tokens.
        """
        ...

    def generate(
        self,
        batch: Sequence[Chat],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[str]:
        """The next assistant turn of each conversation, in order. `temperature` 0 is greedy."""
        ...
