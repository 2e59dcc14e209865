"""A transformers model in process: batched, left-padded, and the same answer in any batch."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from evidence import BadInputError, CandorError
from probes.models.batching import buckets, left_padded
from probes.models.chat import Chat, Likelihood, TokenLikelihoods
from probes.models.decoding import Sampler, cache_argument, decode_batch
from probes.models.encoding import Encoded, encode, fit
from probes.models.hidden import blocks, hidden_states
from probes.models.identity import identity
from probes.models.messages import stream_keys
from probes.models.trees import TokenTrees
from probes.models.trunk import Trunk

_ANSWERED = 3
"""Batches' worth of cells that are answered together: of each token but keys and values are kept, and weights are read once for all."""


class LocalModel:
    """A causal language model in this process.

    Every row of a batch is computed with its own positions, mask and random stream, so a result
    depends on the rest of the batch only by floating-point noise (about 1e-5 in float32). A lock
    makes the methods safe to call from several threads, one at a time.

    Parameters
    ----------
    model, tokenizer
        From transformers. `load` makes them from a folder.
    max_tokens
        Longer conversations lose their middle (`encoding.fit`).
    max_batch_tokens
        Cells of one padded batch; answers are made in three times as many.
    trunk
        Shares the lower blocks with other models that are asked the same; conversations are kept for
        answers alone then.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        path: Path,
        digest: str,
        max_tokens: int = 2048,
        max_batch_tokens: int = 2048,
        trunk: Trunk | None = None,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.path, self._digest = path, digest
        self.max_tokens, self.max_batch_tokens = max_tokens, max_batch_tokens
        self._lock = threading.RLock()
        pad = tokenizer.pad_token_id
        self.pad_id = int(pad if pad is not None else tokenizer.eos_token_id)
        self._trunk = trunk
        self._trees = TokenTrees(self, begin=trunk is None)

    @classmethod
    def load(
        cls,
        directory: Path,
        *,
        dtype: str = "float32",
        device: str = "cpu",
        adapter: Path | None = None,
        max_tokens: int = 2048,
        max_batch_tokens: int = 2048,
        trunk: Trunk | None = None,
    ) -> LocalModel:
        """Load a folder of safetensors, with a LoRA adapter merged in when one is named.

        Nothing is fetched and no code of the folder runs. Raises BadInputError when the folder
        holds no model.
        """
        from transformers import (  # noqa: PLC0415 -- slow import
            AutoModelForCausalLM,
            AutoTokenizer,
        )
        from transformers.utils import logging as transformers_logging  # noqa: PLC0415

        if not (directory / "config.json").is_file():
            raise BadInputError("no model here: config.json is missing", str(directory))
        transformers_logging.disable_progress_bar()  # it would cut through the caller's own
        try:
            model = AutoModelForCausalLM.from_pretrained(
                str(directory),
                dtype=getattr(torch, dtype),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
        except (OSError, ValueError) as error:
            raise BadInputError(f"not a usable model: {error}", str(directory)) from error
        if adapter is not None:
            from peft import PeftModel  # noqa: PLC0415 -- an extra

            model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
        model = model.to(device).eval().requires_grad_(False)
        return cls(
            model,
            tokenizer,
            path=directory,
            digest=identity(directory, adapter, dtype, tokenizer),
            max_tokens=max_tokens,
            max_batch_tokens=max_batch_tokens,
            trunk=trunk,
        )

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def dtype(self) -> str:
        """Precision of its weights and states, such as `float32`."""
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def n_layers(self) -> int:
        return len(blocks(self.model))

    @property
    def width(self) -> int:
        """Width of the residual stream."""
        return int(self.model.config.get_text_config().hidden_size)

    def encode(self, chat: Chat, response: str = "", *, max_tokens: int | None = None) -> Encoded:
        """Token ids of a conversation and the assistant turn after it."""
        return encode(self.tokenizer, chat, response, max_tokens or self.max_tokens)

    def generate(
        self,
        batch: Sequence[Chat],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[str]:
        """The next assistant turn of each conversation, in order.

        A row's random stream is keyed by `seed`, its text and how often that text came before in
        the batch, so that a row draws the same in any batch and repeats of one prompt differ.
        """
        room = max(16, self.max_tokens - max_new_tokens)
        rows = [self.encode(chat, max_tokens=room).prompt for chat in batch]
        keys = stream_keys([repr(tuple(row)) for row in rows], seed)
        out = [""] * len(rows)
        limit = _ANSWERED * self.max_batch_tokens
        for group in buckets([len(row) + max_new_tokens for row in rows], limit):
            sampler = Sampler(temperature, [keys[i] for i in group], self.model.device)
            picked = [rows[i] for i in group]
            with self._lock, torch.inference_mode():
                read = self._trees.read_before(picked)
                made = decode_batch(
                    self.model, picked, self.pad_id, max_new_tokens, sampler, read=read
                )
            for i, ids in zip(group, made, strict=True):
                out[i] = self.tokenizer.decode(ids, skip_special_tokens=True).strip()
        return out

    def loglikelihood(self, batch: Sequence[tuple[Chat, str]]) -> list[Likelihood]:
        """Log-likelihood of each continuation as the next assistant turn of its conversation."""
        found = self.token_logprobs([self.encode(chat, text) for chat, text in batch])
        return [Likelihood(float(row.sum()), len(row)) for row in found]

    def token_likelihoods(
        self, batch: Sequence[tuple[Chat, str]]
    ) -> list[TokenLikelihoods | CandorError]:
        """Each answer token by token as the next assistant turn of its conversation.

        A response that does not fit beside its conversation is an error: what was cut out of it
        could be what it lies about.
        """
        whole = [self.encode(chat, text, max_tokens=sys.maxsize) for chat, text in batch]
        encoded = [fit(*item, self.max_tokens) for item in whole]
        found = self.token_logprobs(encoded)
        return [
            TokenLikelihoods(tuple(map(self.tokenizer.decode, item.response)), row)
            if len(item.response) == len(full.response)
            else BadInputError(f"the response is longer than {self.max_tokens} tokens allow")
            for full, item, row in zip(whole, encoded, found, strict=True)
        ]

    def token_logprobs(self, encoded: Sequence[Encoded]) -> list[np.ndarray[Any, Any]]:
        """Natural-log probability of every response token, a float64 array for each sequence.

        What sequences begin with alike is computed once where that saves enough: on a GPU half of the
        tokens, since plain batches fill it better.
        """
        if self._trees.pay(encoded, 0.8 if self.model.device.type == "cpu" else 0.5):
            return self._trees.token_logprobs(encoded)
        return self.batch_logprobs(encoded)

    def batch_logprobs(self, encoded: Sequence[Encoded]) -> list[np.ndarray[Any, Any]]:
        """The same in padded batches, each sequence for itself."""
        out = [np.zeros(0)] * len(encoded)
        todo = [i for i, item in enumerate(encoded) if item.response]
        for group in buckets(
            [len(encoded[todo[j]]) for j in range(len(todo))], self.max_batch_tokens
        ):
            picked = [todo[j] for j in group]
            items = [encoded[i] for i in picked]
            keep = max(len(item.response) for item in items) + 1
            with self._lock, torch.inference_mode():
                logits = self._logits(items, keep).float()
                for i, item, row in zip(picked, items, logits, strict=True):
                    n = len(item.response)
                    scores = torch.log_softmax(row[-n - 1 : -1], dim=-1)
                    target = torch.tensor(item.response, device=scores.device)[:, None]
                    out[i] = scores.gather(1, target)[:, 0].double().cpu().numpy()
        return out

    def hidden(
        self, encoded: Sequence[Encoded], layers: Sequence[int], *, whole: bool = False
    ) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
        """Residual stream after the given blocks (1 = the first) at every response token.

        Returns one float32 array of shape (layers, tokens, width) for each sequence; with `whole`
        the prompt's tokens come before the response's. A sequence without a response has no tokens.
        Blocks above the highest one asked for are not computed.
        """
        out = [np.zeros((len(layers), 0, self.width), np.float32)] * len(encoded)
        todo = [i for i, item in enumerate(encoded) if item.response]
        for group in buckets([len(encoded[i]) for i in todo], self.max_batch_tokens):
            picked = [todo[j] for j in group]
            ids, mask = self._padded([[*encoded[i].prompt, *encoded[i].response] for i in picked])
            sizes = [len(encoded[i]) if whole else len(encoded[i].response) for i in picked]
            with self._lock, torch.inference_mode():
                states = hidden_states(self.model, ids, mask, layers, max(sizes))
            for row, (i, size) in enumerate(zip(picked, sizes, strict=True)):
                out[i] = states[row, :, -size:]
        return out

    def branch_logits(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        places: torch.Tensor,
        keep: int | torch.Tensor,
        past: DynamicCache | None = None,
    ) -> torch.Tensor:
        """Logits under a mask of shape (rows, 1, length, past + length), at the last `keep` positions or at those named.

        `past` holds what was read before; what is read now is added to it.
        """
        device = self.model.device
        kept = {} if past is None else {cache_argument(self.model): past}
        with self._lock, torch.inference_mode():
            if self._trunk is not None and (past is None or not past.get_seq_length()):
                return self._trunk.logits(
                    self.model, ids.to(device), mask.to(device), places.to(device), keep, past=past
                )
            output = self.model(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                position_ids=places.to(device),
                use_cache=past is not None,
                logits_to_keep=keep,
                **kept,
            )
        logits: torch.Tensor = output.logits
        return logits

    def _logits(self, items: Sequence[Encoded], keep: int) -> torch.Tensor:
        ids, mask = self._padded([[*item.prompt, *item.response] for item in items])
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions(mask),
            use_cache=False,
            logits_to_keep=keep,
        )
        logits: torch.Tensor = output.logits
        return logits

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask = left_padded(rows, self.pad_id)
        device = self.model.device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def positions(mask: torch.Tensor) -> torch.Tensor:
    """Position of each token counted from its row's first real token, shape as `mask`."""
    return (mask.cumsum(-1) - 1).clamp(min=0)
