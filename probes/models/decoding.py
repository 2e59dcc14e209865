"""Batched decoding with a random stream for each row."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from probes.models.batching import left_padded


class Sampler:
    """Draws the next token of each row from its own random stream (Gumbel-max).

    Parameters
    ----------
    temperature
        0 takes the likeliest token.
    keys
        Seed of each row's stream.
    """

    def __init__(self, temperature: float, keys: Sequence[int], device: torch.device) -> None:
        self.temperature = temperature
        self._device = device
        self._streams = [torch.Generator().manual_seed(key) for key in keys]

    def draw(self, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """Next token ids of `rows`, shape (rows,), from logits of shape (rows, vocabulary)."""
        if self.temperature <= 0:
            return logits.argmax(-1)
        size = logits.shape[-1]
        noise = torch.stack(
            [torch.empty(size).exponential_(generator=self._streams[row]) for row in rows]
        )
        return (logits.float() / self.temperature - noise.to(self._device).log()).argmax(-1)


def decode_batch(
    model: Any,
    rows: Sequence[Sequence[int]],
    pad_id: int,
    max_new_tokens: int,
    sampler: Sampler,
    *,
    read: DynamicCache | None = None,
) -> list[list[int]]:
    """New token ids of each row, without the end token. Finished rows leave the batch.

    `read` holds keys and values of all but the last token of each row, padded on the left; it is
    added to. Call under `torch.inference_mode()`.
    """
    ids_, mask_ = left_padded(rows, pad_id)
    ids = torch.tensor(ids_, device=model.device)
    mask = torch.tensor(mask_, device=model.device)
    place = (mask.cumsum(-1) - 1).clamp(min=0)
    stops = _stop_ids(model)
    out: list[list[int]] = [[] for _ in rows]
    alive = list(range(len(rows)))
    cache = DynamicCache(config=model.config) if read is None else read
    if read is not None:
        ids, place = ids[:, -1:], place[:, -1:]
    kept = {cache_argument(model): cache}
    for _ in range(max_new_tokens):
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=place,
            use_cache=True,
            logits_to_keep=1,
            **kept,
        )
        token = sampler.draw(output.logits[:, -1], alive)
        going = [k for k, value in enumerate(token.tolist()) if value not in stops]
        for k in going:
            out[alive[k]].append(int(token[k]))
        if not going:
            break
        if len(going) < len(alive):
            keep = torch.tensor(going, device=model.device)
            cache.batch_select_indices(keep)
            token, mask, place = token[keep], mask[keep], place[keep]
            alive = [alive[k] for k in going]
        ids = token[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
        place = place[:, -1:] + 1
    return out


def cache_argument(model: Any) -> str:
    """transformers 5.24 renamed `past_key_values`; both names are in use."""
    names = inspect.signature(model.forward).parameters
    return "cache" if "cache" in names else "past_key_values"


def _stop_ids(model: Any) -> set[int]:
    found = model.generation_config.eos_token_id
    if found is None:
        found = model.config.eos_token_id
    return set(found) if isinstance(found, list) else {found}
