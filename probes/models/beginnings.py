"""Keys and values of conversations that were read before, so that their beginnings are not read again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from probes.models.packs import Pack


class Beginnings:
    """What attention keeps of tokens that conversations begin with, by the tokens before them.

    System prompts are few and come again with every question: only what is new of a conversation is
    then computed. A tree of tokens over one block of memory for each layer; when it is full it is
    emptied, so that memory is bounded whatever comes.

    Parameters
    ----------
    max_bytes
        Memory for keys and values; less than a token takes keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._nodes: dict[tuple[int, int], int] = {}
        self._layers: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._room = 0

    @property
    def size(self) -> int:
        """Tokens that are kept."""
        return len(self._nodes)

    def kept(self, tokens: Sequence[int]) -> list[int]:
        """The nodes of the longest beginning that is kept, one for each of its tokens."""
        found: list[int] = []
        parent = -1
        for token in tokens:
            node = self._nodes.get((parent, token))
            if node is None:
                break
            found.append(node)
            parent = node
        return found

    def cache(self, nodes: Sequence[int], model: Any) -> DynamicCache:
        """The keys and values of `nodes`, in this order, as the model takes them.

        Raises TypeError for a model that does not keep all of them (one with a window).
        """
        cache = DynamicCache(config=model.config)
        if any(cache.is_sliding):
            raise TypeError("its attention has a window")
        if len(nodes):
            picked = torch.as_tensor(nodes, device=model.device)
            for layer, (keys, values) in enumerate(self._layers):
                cache.update(
                    keys.index_select(1, picked)[None], values.index_select(1, picked)[None], layer
                )
        return cache

    def batch(self, rows: Sequence[Sequence[int]], model: Any) -> DynamicCache:
        """The keys and values of several conversations, a row each, with anything before the shorter ones."""
        width = max(map(len, rows))
        picked = torch.zeros((len(rows), width), dtype=torch.long, device=model.device)
        for row, nodes in zip(picked, rows, strict=True):
            row[width - len(nodes) :] = torch.as_tensor(nodes)
        cache = DynamicCache(config=model.config)
        for layer, parts in enumerate(self._layers):
            keys, values = (part[:, picked].transpose(0, 1) for part in parts)
            cache.update(keys, values, layer)
        return cache

    def keep(self, pack: Pack, prompts: Sequence[int], cache: DynamicCache) -> None:
        """Keep the first `prompts[k]` tokens of the pack's k-th sequence, which `cache` has just read."""
        added: list[int] = []
        for (_, path), length in zip(pack.paths, prompts, strict=True):
            parent = -1
            for node in path[:length].tolist():
                if node < len(pack.past):
                    parent = int(pack.past[node])
                    continue
                token = int(pack.ids[node - len(pack.past)])
                place = self._nodes.get((parent, token))
                if place is None:
                    place = len(self._nodes)
                    self._nodes[parent, token] = place
                    added.append(node)
                parent = place
        if added:
            self._store(added, cache)

    def _store(self, added: Sequence[int], cache: DynamicCache) -> None:
        """Copy what was read into its places; start anew where there is no room for it."""
        if not self._layers:
            self._make_room(cache)
        end = len(self._nodes)
        if end > self._room:
            self._nodes.clear()
            return
        places = torch.arange(end - len(added), end, device=cache.layers[0].keys.device)
        nodes = torch.as_tensor(added, device=places.device)
        for (keys, values), layer in zip(self._layers, cache.layers, strict=True):
            keys.index_copy_(1, places, layer.keys[0].index_select(1, nodes))
            values.index_copy_(1, places, layer.values[0].index_select(1, nodes))

    def _make_room(self, cache: DynamicCache) -> None:
        """Memory is taken from the system as it is written to, not here."""
        each = sum(
            part.element_size() * part.shape[1] * part.shape[3]
            for layer in cache.layers
            for part in (layer.keys, layer.values)
        )
        self._room = self._max_bytes // each
        self._layers = [
            (self._block(layer.keys), self._block(layer.values)) for layer in cache.layers
        ]

    def _block(self, like: torch.Tensor) -> torch.Tensor:
        _, heads, _, width = like.shape
        return torch.empty((heads, self._room, width), dtype=like.dtype, device=like.device)
