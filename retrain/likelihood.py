"""Log-likelihoods of several answers to one conversation."""

from __future__ import annotations

from collections.abc import Sequence

from evidence import Message
from probes.models.local import LocalModel

Question = tuple[Sequence[Message], Sequence[str]]
"""A conversation and the answers whose likelihood is wanted."""


def answer_loglikelihoods(model: LocalModel, questions: Sequence[Question]) -> list[list[float]]:
    """Mean log-probability per token (nats) of each answer as the next assistant turn.

    Asked together, since what the conversations and answers begin with alike is computed once.
    """
    found = iter(
        model.loglikelihood([(chat, one) for chat, answers in questions for one in answers])
    )
    return [[next(found).mean for _ in answers] for _, answers in questions]
