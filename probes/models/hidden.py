"""Hidden states of chosen blocks in one forward pass that stops at the highest of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


class _EnoughError(Exception):
    """Raised by the last hook: the blocks above are not needed."""


def blocks(model: Any) -> torch.nn.ModuleList:
    """The list of transformer blocks: the longest ModuleList of the decoder, whatever its name."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    lists = [module for module in decoder.modules() if isinstance(module, torch.nn.ModuleList)]
    return max(lists, key=len)


def hidden_states(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, layers: Sequence[int], keep: int
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Residual stream after blocks `layers` (1 = the first) at the last `keep` positions.

    `ids` and `mask` have shape (rows, length). Returns float32 of shape (rows, layers, keep, width).
    Call under `torch.inference_mode()` with no other forward pass of `model` running.
    """
    stack = blocks(model)
    top = max(layers)
    found: dict[int, torch.Tensor] = {}

    def take(layer: int) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            state = output[0] if isinstance(output, tuple) else output
            found[layer] = state[:, -keep:].float()
            if layer == top:
                raise _EnoughError

        return hook

    handles = [stack[layer - 1].register_forward_hook(take(layer)) for layer in set(layers)]
    try:
        position = (mask.cumsum(-1) - 1).clamp(min=0)
        model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=position,
            use_cache=False,
            logits_to_keep=1,
        )
    except _EnoughError:
        pass  # the expected way out
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack([found[layer] for layer in layers], dim=1).cpu().numpy()


@contextmanager
def upper_blocks(model: Any, count: int) -> Iterator[None]:
    """The model without its first `count` blocks; the caller sees to it that nobody else runs it."""
    stack = blocks(model)
    owner, name = next(
        (module, name)
        for module in model.modules()
        for name, child in module.named_children()
        if child is stack
    )
    setattr(owner, name, torch.nn.ModuleList(stack[count:]))
    try:
        yield
    finally:
        setattr(owner, name, stack)


def states_before(model: Any, block: int, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What goes into a block (0 = the first), shape (rows, length, width). Nothing above is computed."""
    seen: list[torch.Tensor] = []

    def take(_module: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.append(positional[0] if positional else named["hidden_states"])
        raise _EnoughError

    handle = blocks(model)[block].register_forward_pre_hook(take, with_kwargs=True)
    try:
        model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
    except _EnoughError:
        pass  # the expected way out
    finally:
        handle.remove()
    return seen[0]
