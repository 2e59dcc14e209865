"""Log-likelihoods of several answers to one prompt, with the prompt read once."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from evidence import Message
from probes.models.batching import buckets, left_padded
from probes.models.local import LocalModel, positions

Question = tuple[Sequence[Message], Sequence[str]]
"""A conversation and the answers whose likelihood is wanted."""


def answer_loglikelihoods(
    model: LocalModel, questions: Sequence[Question], *, max_batch_tokens: int = 4096
) -> list[list[float]]:
    """Mean log-probability per token (nats) of each answer as the next assistant turn.

    Equal to `LocalModel.loglikelihood(...).mean` up to rounding; the prompt's keys and values are
    computed once and shared by its answers. Every question has the same number of answers.
    """
    encoded = [[model.encode(chat, answer) for answer in answers] for chat, answers in questions]
    sizes = [len(e[0].prompt) + sum(len(a.response) for a in e) for e in encoded]
    out: list[list[float]] = [[] for _ in questions]
    for group in buckets(sizes, max_batch_tokens):
        prompts = [encoded[i][0].prompt for i in group]
        answers = [[a.response for a in encoded[i]] for i in group]
        with torch.inference_mode():
            for i, found in zip(group, _score(model, prompts, answers), strict=True):
                out[i] = found
    return out


def _score(
    model: LocalModel, prompts: list[list[int]], answers: list[list[list[int]]]
) -> list[list[float]]:
    device = model.model.device
    count = len(answers[0])
    ids, mask = (torch.tensor(x, device=device) for x in left_padded(prompts, 0))
    first = model.model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions(mask),
        use_cache=True,
        logits_to_keep=1,
    )
    flat = [answer for row in answers for answer in row]
    width = max(len(answer) for answer in flat)
    tokens = torch.tensor([[*a, *[0] * (width - len(a))] for a in flat], device=device)
    real = torch.tensor([[1] * len(a) + [0] * (width - len(a)) for a in flat], device=device)
    lengths = mask.sum(-1).repeat_interleave(count)
    logits = first.logits[:, -1:].repeat_interleave(count, dim=0)
    if width > 1:
        cache = first.past_key_values
        cache.batch_repeat_interleave(count)
        rest = model.model(
            input_ids=tokens[:, :-1],
            attention_mask=torch.cat([mask.repeat_interleave(count, dim=0), real[:, :-1]], dim=1),
            position_ids=lengths[:, None] + torch.arange(width - 1, device=device)[None],
            past_key_values=cache,
            use_cache=True,
        )
        logits = torch.cat([logits, rest.logits], dim=1)
    chosen = logits.float().log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    means = (chosen * real).sum(-1) / real.sum(-1).clamp(min=1)
    return means.reshape(len(prompts), count).double().cpu().tolist()
