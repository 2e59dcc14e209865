"""Several questions about one text in one forward pass of a local model."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from evidence import Message
from probes.models.batching import buckets
from probes.models.chat import Chat
from probes.models.encoding import fit, inert, render
from probes.models.local import LocalModel

_MARK = "@@question@@"


def yes_probabilities(
    model: LocalModel, prompts: Sequence[str], instruction: str, questions: Sequence[str]
) -> list[tuple[list[float], int]]:
    """P(yes) / (P(yes) + P(no)) for each question about each prompt, and the tokens read.

    The prompt is read once: every question follows it as a branch of its own, which sees the
    prompt and itself (a block mask), at the positions it would have alone. So the answers equal
    those of separate calls.
    """
    head, tail = _frame(model, instruction)
    branches = [_ids(model, f"{question}{tail}") for question in questions]
    room = model.max_tokens - max(map(len, branches))
    prefixes = [
        fit(_ids(model, head.replace(_MARK, inert(model.tokenizer, prompt))), [], room).prompt
        for prompt in prompts
    ]
    extra = sum(map(len, branches))
    answers = _answer_ids(model)
    out: list[tuple[list[float], int]] = [([], 0)] * len(prompts)
    for group in buckets([len(prefix) + extra for prefix in prefixes], model.max_batch_tokens):
        rows = [prefixes[i] for i in group]
        for i, found in zip(group, _branch(model, rows, branches, answers), strict=True):
            out[i] = (found, len(prefixes[i]) + extra)
    return out


def _frame(model: LocalModel, instruction: str) -> tuple[str, str]:
    """The rendered chat before the question (with a mark for the prompt) and after it."""
    chat: Chat = (Message("system", instruction), Message("user", f"{_MARK}\n\n{_MARK}"))
    before, _, rest = render(model.tokenizer, chat).partition(f"{_MARK}\n\n{_MARK}")
    return f"{before}{_MARK}\n\n", rest


def _ids(model: LocalModel, text: str) -> list[int]:
    return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])


def _answer_ids(model: LocalModel) -> tuple[list[int], list[int]]:
    """First tokens of the spellings of yes and of no."""
    yes, no = (
        sorted({_ids(model, text)[0] for text in (word, word.lower(), word.upper())})
        for word in ("Yes", "No")
    )
    return yes, no


def _branch(
    model: LocalModel,
    prefixes: Sequence[Sequence[int]],
    branches: Sequence[Sequence[int]],
    answers: tuple[list[int], list[int]],
) -> list[list[float]]:
    width = max(map(len, prefixes))
    tail = [token for branch in branches for token in branch]
    pad = model.pad_id
    ids = torch.tensor([[pad] * (width - len(p)) + [*p, *tail] for p in prefixes])
    lengths = torch.tensor([len(p) for p in prefixes])
    block = torch.tensor([0] * width + [k + 1 for k, b in enumerate(branches) for _ in b])
    offset = torch.tensor([j for b in branches for j in range(len(b))])
    inside = (torch.arange(width)[None] - (width - lengths)[:, None]).clamp(min=0)
    places = torch.cat([inside, lengths[:, None] + offset[None]], dim=1)
    mask = _block_mask(block, width - lengths)
    ends = torch.tensor([len(b) for b in branches]).cumsum(0) - 1
    logits = model.branch_logits(ids, mask, places, len(tail))[:, ends]
    p = torch.softmax(logits.float(), dim=-1)
    yes, no = p[..., answers[0]].sum(-1), p[..., answers[1]].sum(-1)
    found: list[list[float]] = (yes / (yes + no).clamp(min=1e-12)).tolist()
    return found


def _block_mask(block: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
    """Who sees whom, shape (rows, 1, length, length): the past of the prompt and of its own branch.

    Padding sees itself, because a row of the softmax with nothing in it would be NaN.
    """
    n = len(block)
    order = torch.arange(n)
    causal = order[:, None] >= order[None]
    related = (block[None] == 0) | (block[:, None] == block[None])
    real = order[None] >= padding[:, None]
    seen = (causal & related)[None] & real[:, None]
    return (seen | torch.eye(n, dtype=torch.bool)[None])[:, None]
