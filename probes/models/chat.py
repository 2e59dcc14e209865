"""What a language model back end is to the probes: text in, text and probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from candor_guard.reading.reasoning import split_reasoning
from evidence import BadInputError, CandorError, Message

Chat = Sequence[Message | Mapping[str, str]]
"""A conversation in OpenAI chat format."""

Progress = Callable[[str, float], None]
"""Called with what is being done and the share done, in [0, 1]."""


class Likelihood(NamedTuple):
    """Natural-log probability of a continuation, summed over its `n_tokens` tokens."""

    sum_logprob: float
    n_tokens: int

    @property
    def mean(self) -> float:
        """Mean log-probability of a token; 0 for an empty continuation."""
        return self.sum_logprob / self.n_tokens if self.n_tokens else 0.0


@runtime_checkable
class ChatModel(Protocol):
    """A model that continues conversations: in process or behind an OpenAI-compatible server."""

    @property
    def name(self) -> str:
        """The model's name as its users know it."""
        ...

    @property
    def digest(self) -> str:
        """Identity of the weights and tokenizer, or of the server and model name; 64 hex digits."""
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


@runtime_checkable
class LikelihoodModel(ChatModel, Protocol):
    """A model whose weights are at hand, so that it can also weigh a given answer."""

    def loglikelihood(self, batch: Sequence[tuple[Chat, str]]) -> list[Likelihood]:
        """Log-likelihood of each continuation as the next assistant turn of its conversation."""
        ...


class TokenLikelihoods(NamedTuple):
    """A given answer token by token.

    Parameters
    ----------
    tokens
        The text of each token; together they are the answer, as the model reads it.
    logprobs
        Natural-log probability of each, float64 of shape (tokens,).
    """

    tokens: tuple[str, ...]
    logprobs: NDArray[np.float64]


@runtime_checkable
class TokenLikelihoodModel(Protocol):
    """A model, in process or served, that says how likely it finds each token of a given answer."""

    @property
    def digest(self) -> str:
        """Identity of the weights and tokenizer, or of the server and model name; 64 hex digits."""
        ...

    def token_likelihoods(
        self, batch: Sequence[tuple[Chat, str]]
    ) -> list[TokenLikelihoods | CandorError]:
        """Each answer as the next assistant turn of its conversation, in order.

        A pair that cannot be weighed is an error of its own.
        """
        ...


def generate_each(
    model: ChatModel,
    batch: Sequence[Chat],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[str | CandorError]:
    """`generate`, where a conversation that the model refuses is an error of its own.

    A refused batch is halved until the conversation is found; when the model is gone, all are errors.
    Answers come without their reasoning; one that is nothing else is an error.
    """
    if not batch:
        return []
    settings = {"max_new_tokens": max_new_tokens, "seed": seed}
    try:
        return [_said(text) for text in model.generate(batch, temperature=temperature, **settings)]
    except BadInputError as error:
        if len(batch) == 1:
            return [error]
        half = len(batch) // 2
        return [
            *generate_each(model, batch[:half], temperature=temperature, **settings),
            *generate_each(model, batch[half:], temperature=temperature, **settings),
        ]
    except CandorError as error:
        return [error] * len(batch)


def _said(text: str) -> str | CandorError:
    thought, answer = split_reasoning(text)
    if thought and not answer:
        return BadInputError("the model thought and gave no answer within its tokens")
    return answer
