"""The blocks that several models have alike, computed once for the same text."""

from __future__ import annotations

import hashlib
import logging
import weakref
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache

from probes.models.decoding import cache_argument
from probes.models.hidden import blocks, upper_blocks

log = logging.getLogger(__name__)
_ROUNDING = {torch.float32: 1e-3}
_ROUGH = 0.2


class _Lower(NamedTuple):
    """What goes into the first upper block, and keys and values of the blocks below it, where those were asked for."""

    state: torch.Tensor
    cached: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    @property
    def size(self) -> int:
        parts = (self.state, *(part for pair in self.cached for part in pair))
        return sum(part.element_size() * part.numel() for part in parts)


class Trunk:
    """What the first `count` blocks make of texts, kept from one model to the next.

    Arms of a confirm run train the upper blocks of one model and are asked the same items: what the
    lower blocks say is the same for all of them. The first model that is asked fills it; another is
    taken for alike where its embedding and lower blocks are, weight for weight, and where its first
    text gives the same logits either way. Any other is computed whole.

    Parameters
    ----------
    count
        Blocks from the first one up that are alike.
    max_bytes
        Memory for states; texts beyond it are computed whole.
    """

    def __init__(self, count: int, max_bytes: int = 256 << 20) -> None:
        self._count, self._max_bytes = count, max_bytes
        self._states: dict[bytes, _Lower] = {}
        self._bytes = 0
        self._weights: bytes | None = None
        self._alike: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()
        self._tried: weakref.WeakSet[Any] = weakref.WeakSet()

    @property
    def texts(self) -> int:
        """How many texts' states are kept."""
        return len(self._states)

    def logits(
        self,
        model: Any,
        ids: torch.Tensor,
        mask: torch.Tensor,
        places: torch.Tensor,
        keep: int | torch.Tensor,
        *,
        past: DynamicCache | None = None,
    ) -> torch.Tensor:
        """Logits as `model` gives them, shape (rows, kept, vocabulary). Call under `torch.inference_mode()`.

        Keys and values of all blocks are added to `past`, an empty one.
        """
        asked = {"attention_mask": mask, "position_ids": places, "logits_to_keep": keep}
        cached = {} if past is None else {cache_argument(model): past, "use_cache": True}
        if not self._is_alike(model):
            return _logits(model, input_ids=ids, **asked, **cached)
        key = _digest(ids, mask, places)
        lower = self._states.get(key)
        if lower is None or (past is not None and not lower.cached):
            return self._filled(model, key, past, {"input_ids": ids, **asked, **cached})
        if model not in self._tried:
            return self._tried_out(model, lower, ids, asked, cached)
        if past is not None:
            for layer, (keys, values) in enumerate(lower.cached):
                past.update(keys, values, layer)
        with upper_blocks(model, self._count):
            return _logits(model, inputs_embeds=lower.state, **asked, **cached)

    def _tried_out(
        self, model: Any, lower: _Lower, ids: torch.Tensor, asked: Any, cached: Any
    ) -> torch.Tensor:
        """The whole model's logits, with which those of its upper blocks are compared."""
        self._tried.add(model)
        whole = _logits(model, input_ids=ids, **asked, **cached)
        with upper_blocks(model, self._count):
            apart = float(
                (_logits(model, inputs_embeds=lower.state, **asked) - whole).float().abs().max()
            )
        if not apart <= _ROUNDING.get(whole.dtype, _ROUGH):
            log.info("lower blocks are not shared: the logits differ by %.3g", apart)
            self._alike[model] = False
        return whole

    def _is_alike(self, model: Any) -> bool:
        if model not in self._alike:
            weights = self._lower_weights(model)
            self._weights = self._weights or weights
            self._alike[model] = weights is not None and weights == self._weights
        return self._alike[model]

    def _lower_weights(self, model: Any) -> bytes | None:
        """Digest of embedding and lower blocks; None where blocks are not of one kind."""
        kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
        stack = blocks(model)
        if len(set(kinds)) > 1 or not 0 < self._count < len(stack):
            return None
        found = hashlib.sha256()
        for part in (model.get_input_embeddings(), *stack[: self._count]):
            for name, weights in part.state_dict().items():
                found.update(f"{name} {weights.dtype} {tuple(weights.shape)}".encode())
                found.update(_bytes(weights))
        return found.digest()

    def _filled(
        self, model: Any, key: bytes, past: DynamicCache | None, asked: dict[str, Any]
    ) -> torch.Tensor:
        """The whole model's logits; what goes into the first upper block is kept, and what `past` got below it."""
        seen: list[torch.Tensor] = []

        def take(_module: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
            seen.append(positional[0] if positional else named["hidden_states"])

        handle = blocks(model)[self._count].register_forward_pre_hook(take, with_kwargs=True)
        try:
            found = _logits(model, **asked)
        finally:
            handle.remove()
        layers = [] if past is None else past.layers[: self._count]
        lower = _Lower(seen[0], tuple((layer.keys, layer.values) for layer in layers))
        if self._bytes + lower.size <= self._max_bytes:
            self._states[key] = lower
            self._bytes += lower.size
        return found


def _logits(model: Any, **asked: Any) -> torch.Tensor:
    logits: torch.Tensor = model(**{"use_cache": False, **asked}).logits
    return logits


def _digest(*parts: torch.Tensor) -> bytes:
    found = hashlib.sha256()
    for part in parts:
        found.update(f"{part.dtype} {tuple(part.shape)}".encode())
        found.update(_bytes(part))
    return found.digest()


def _bytes(values: torch.Tensor) -> Any:
    return values.detach().contiguous().cpu().view(torch.uint8).numpy().data
