"""Log-probabilities of responses with what their conversations begin with alike computed once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache

from probes.models.beginnings import Beginnings
from probes.models.encoding import Encoded
from probes.models.packs import Pack, distinct_tokens, packs

log = logging.getLogger(__name__)
_MAX_NODES = 512
_MAX_ASKED = 4096
_ROUNDING = {"float32": 1e-3}
_ROUGH = 0.2


class _Model(Protocol):
    @property
    def model(self) -> Any: ...

    @property
    def dtype(self) -> str: ...

    def branch_logits(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        places: torch.Tensor,
        keep: int | torch.Tensor,
        past: DynamicCache | None = None,
    ) -> torch.Tensor: ...

    def batch_logprobs(self, encoded: Sequence[Encoded]) -> list[np.ndarray[Any, Any]]: ...


class TokenTrees:
    """Sequences as trees of tokens: a token attends to what comes before it in its own sequence alone.

    Keys and values of conversations are kept from call to call (`Beginnings`). Equal to plain
    batches up to rounding. A model in which a token's place or what it sees is not
    all that counts (a recurrent one, one with a window) gives other numbers; so the first tree is
    computed both ways, and where they differ trees are not used with this model.

    Parameters
    ----------
    model
        Computes logits under a mask, and plain batches to compare with. Its weights do not change.
    max_kept_bytes
        Memory for what is kept from call to call; nothing is kept with 0.
    begin
        Whether sequences are read from what is kept of their conversations; answers are in any case.
    """

    def __init__(
        self, model: _Model, max_kept_bytes: int = 512 << 20, *, begin: bool = True
    ) -> None:
        self._model = model
        self._holds: bool | None = None
        self._max_kept_bytes = max_kept_bytes
        self._beginnings = Beginnings(max_kept_bytes)
        self._begin = begin
        self._asked: set[int] = set()
        self._lock = threading.RLock()

    @property
    def kept_tokens(self) -> int:
        """How many tokens of conversations need not be read again."""
        return self._beginnings.size

    def pay(self, encoded: Sequence[Encoded], worth: float = 0.8) -> bool:
        """Whether at most `worth` of the tokens are left without what is shared, and the model can be asked so.

        Conversations that come again count as shared: they are kept from this time on.
        """
        given = [item for item in encoded if item.response]
        if self._holds is False or not given or not all(item.prompt for item in given):
            return False
        with self._lock:
            return self._saves(given, worth) and (self._holds or self._is_equal(given))

    def token_logprobs(self, encoded: Sequence[Encoded]) -> list[np.ndarray[Any, Any]]:
        """Natural-log probability of every response token, a float64 array for each sequence."""
        return self._logprobs(encoded, begin=self._begin)

    def _logprobs(self, encoded: Sequence[Encoded], *, begin: bool) -> list[np.ndarray[Any, Any]]:
        out: list[np.ndarray[Any, Any]] = [np.zeros(0)] * len(encoded)
        todo = [item for item in encoded if item.response]
        where = [i for i, item in enumerate(encoded) if item.response]
        with self._lock:
            kept = [self._beginnings.kept(item.prompt[:-1]) if begin else [] for item in todo]
            for pack in packs([_inputs(item) for item in todo], _MAX_NODES, kept):
                for i, found in self._read(pack, todo):
                    out[where[i]] = found
        return out

    def read_before(self, prompts: Sequence[Sequence[int]]) -> DynamicCache | None:
        """Keys and values of all tokens but the last of each conversation, a row each, padded on the left.

        None where one of them is not kept, or the model cannot be read so.
        """
        with self._lock:
            if not self._holds or not all(len(prompt) > 1 for prompt in prompts):
                return None
            nodes = [self._beginnings.kept(prompt[:-1]) for prompt in prompts]
            if any(
                len(found) + 1 < len(prompt) for found, prompt in zip(nodes, prompts, strict=True)
            ):
                return None
            return self._beginnings.batch(nodes, self._model.model)

    def _read(self, pack: Pack, todo: Sequence[Encoded]) -> list[tuple[int, np.ndarray[Any, Any]]]:
        """The log-probabilities of the pack's sequences; their conversations are kept."""
        paths = [(i, path[len(todo[i].prompt) - 1 :]) for i, path in pack.paths]
        keeps = self._max_kept_bytes > 0
        cache = self._beginnings.cache(pack.past.tolist(), self._model.model) if keeps else None
        wanted, logits = self._logits(pack, [path for _, path in paths], cache)
        if cache is not None:
            self._beginnings.keep(pack, [len(todo[i].prompt) for i, _ in paths], cache)
        out = []
        for i, path in paths:
            rows = torch.as_tensor(np.searchsorted(wanted, path))
            target = torch.tensor(todo[i].response, device=logits.device)
            out.append((i, logits[rows, target].double().cpu().numpy()))
        return out

    def _logits(
        self, pack: Pack, paths: Sequence[NDArray[np.int64]], cache: DynamicCache | None
    ) -> tuple[NDArray[np.int64], torch.Tensor]:
        """The nodes at which something is read, sorted, and the log-probabilities there, a row for each."""
        wanted = np.unique(np.concatenate(paths))
        logits = self._model.branch_logits(
            torch.from_numpy(pack.ids)[None],
            torch.from_numpy(pack.seen)[None, None],
            torch.from_numpy(pack.places)[None],
            torch.from_numpy(wanted - len(pack.past)),
            cache,
        )
        with torch.inference_mode():
            return wanted, torch.log_softmax(logits[0].float(), dim=-1)

    def _saves(self, given: Sequence[Encoded], worth: float) -> bool:
        """Whether enough is shared, here, with what is kept, or with what was asked before."""
        inputs = [_inputs(item) for item in given]
        total = sum(map(len, inputs))
        kept = {
            node
            for item in given
            for node in self._beginnings.kept(item.prompt[:-1])
            if self._begin
        }
        again = 0
        for item in given:
            name = hash(tuple(item.prompt))
            again += len(item.prompt) if name in self._asked else 0
            if len(self._asked) >= _MAX_ASKED:
                self._asked.clear()
            self._asked.add(name)
        return min(distinct_tokens(inputs) - len(kept), total - again) <= worth * total

    def _is_equal(self, given: Sequence[Encoded]) -> bool:
        """Whether two answers to a conversation read the same as a tree and as a batch, and so once it is kept."""
        prompt, said = max(given, key=lambda item: len(item.response))
        other = next((token for token in prompt if token != said[0]), 0)
        pair = [Encoded(prompt, [*said, other]), Encoded(prompt, [other, *said])]
        allowed = _ROUNDING.get(self._model.dtype, _ROUGH)
        try:
            trees = [self._logprobs(pair, begin=True), self._logprobs(pair, begin=True)]
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            log.info("conversations are read one by one: %s", type(error).__name__)
            self._holds = False
            return False
        plain = self._model.batch_logprobs(pair)
        apart = max(
            float(np.abs(a - b).max()) for tree in trees for a, b in zip(tree, plain, strict=True)
        )
        self._holds = apart <= allowed
        if not self._holds:
            log.info("conversations are read one by one: as a tree they differ by %.3g nats", apart)
        return self._holds


def _inputs(item: Encoded) -> list[int]:
    """What is read to weigh each token of the response: all before its last."""
    return [*item.prompt, *item.response][:-1]
