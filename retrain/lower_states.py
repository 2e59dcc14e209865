"""What the blocks below the trained ones make of rows, kept from pass to pass and from arm to arm."""

from __future__ import annotations

import logging
from typing import Any

import torch

from probes.models.hidden import blocks, states_before, upper_blocks

log = logging.getLogger(__name__)
_ROUNDING = {torch.float32: 1e-3}
_ROUGH = 0.2
_LIKE = frozenset({"input_ids", "attention_mask"})


class LowerStates:
    """States of whole rows at the first trained block.

    The arms of a run have most of their rows in common, and every epoch has all of them: their lower
    blocks, which no adapter changes, are then computed once. A model in which that is not all that
    counts is found by its first rows, which are computed both ways, and computed whole.

    Parameters
    ----------
    count
        Blocks from the first one up that are not trained. All models asked with this have the same ones.
    max_bytes
        Memory for states; rows beyond it are computed each time.
    """

    def __init__(self, count: int, max_bytes: int = 256 << 20) -> None:
        self._count, self._max_bytes = count, max_bytes
        self._kept: dict[bytes, torch.Tensor] = {}
        self._bytes = 0
        self._holds: bool | None = None if count > 0 else False

    @property
    def rows(self) -> int:
        """How many rows' states are kept."""
        return len(self._kept)

    def last_hidden(self, model: Any, given: dict[str, torch.Tensor]) -> torch.Tensor:
        """What the decoder of `model` gives for a batch padded on the right, shape (rows, length, width)."""
        if self._holds is None and not model.training:
            self._holds = self._is_equal(model, given)
        if not self._holds or not _is_plain(given):
            return _decoder(model, given)
        return self._from_kept(model, given["input_ids"], given["attention_mask"])

    def _from_kept(self, model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        lengths = mask.sum(1).tolist()
        names = [row[:n].cpu().numpy().tobytes() for row, n in zip(ids, lengths, strict=True)]
        missing = [i for i, name in enumerate(names) if name not in self._kept]
        read: dict[int, torch.Tensor] = {}
        if missing:
            with torch.no_grad():
                found = states_before(model, self._count, ids[missing], mask[missing])
            read = {i: state[: lengths[i]] for i, state in zip(missing, found, strict=True)}
        states = [read[i] if i in read else self._kept[name] for i, name in enumerate(names)]
        for i, state in read.items():
            self._keep(names[i], state)
        whole = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
        padded = torch.nn.functional.pad(whole, (0, 0, 0, ids.shape[1] - whole.shape[1]))
        with upper_blocks(model, self._count):
            return _decoder(model, {"inputs_embeds": padded, "attention_mask": mask})

    def _keep(self, name: bytes, state: torch.Tensor) -> None:
        size = state.element_size() * state.numel()
        if name not in self._kept and self._bytes + size <= self._max_bytes:
            self._kept[name] = state.clone()
            self._bytes += size

    def _is_equal(self, model: Any, given: dict[str, torch.Tensor]) -> bool:
        """Whether two rows of a batch come out alike either way, and nothing in the lower blocks is drawn at random."""
        if not _is_plain(given) or _draws(model, self._count):
            return False
        ids, mask = given["input_ids"][:2], given["attention_mask"][:2]
        try:
            with torch.no_grad():
                whole = _decoder(model, {"input_ids": ids, "attention_mask": mask})
                parts = self._from_kept(model, ids, mask)
        except (AttributeError, IndexError, RuntimeError, StopIteration, TypeError) as error:
            log.info("rows are computed whole: %s", type(error).__name__)
            return False
        apart = float((whole - parts)[mask.bool()].float().abs().max())
        allowed = _ROUNDING.get(whole.dtype, _ROUGH) * max(1.0, float(whole.abs().max()))
        if not apart <= allowed:
            log.info("rows are computed whole: their states differ by %.3g", apart)
        return apart <= allowed


def _decoder(model: Any, given: dict[str, torch.Tensor]) -> torch.Tensor:
    states: torch.Tensor = model.base_model(**given, use_cache=False).last_hidden_state
    return states


def _is_plain(given: dict[str, torch.Tensor]) -> bool:
    """Whether a batch is token ids padded on the right, with nothing beside them."""
    if set(given) != _LIKE:
        return False
    mask = given["attention_mask"]
    return bool(mask.dim() == 2 and (mask[:, 1:] <= mask[:, :-1]).all() and mask[:, 0].all())


def _draws(model: Any, count: int) -> bool:
    """Whether training has dropout in the lower blocks, or blocks are of several kinds."""
    config = model.config.get_text_config()
    if len(set(getattr(config, "layer_types", None) or ())) > 1:
        return True
    if any(getattr(config, name, 0) for name in ("attention_dropout", "embd_pdrop", "attn_pdrop")):
        return True
    lower = (model.get_input_embeddings(), *blocks(model)[:count])
    return any(
        isinstance(part, torch.nn.Dropout) and part.p > 0
        for module in lower
        for part in module.modules()
    )
