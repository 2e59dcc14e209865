"""The cross-encoder: MiniLM over premise and claim together, with a head for three answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel

HIDDEN = 256
ANSWERS = 3


class CrossEncoder(nn.Module):
    """Reads `[CLS] premise [SEP] claim [SEP]`, the claim as the second segment.

    The head reads five vectors of the last layer: that of `[CLS]`, the means over premise and over claim,
    their absolute difference and their product (Conneau et al., arXiv 1705.02364, over a joint reading).

    Parameters
    ----------
    folder
        The encoder's configuration and weights, in the format of transformers.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.encoder.pooler = None  # loaded, so that nothing is reported as left over; not used
        width = int(self.encoder.config.hidden_size)
        self.mix = nn.Linear(5 * width, HIDDEN)
        self.out = nn.Linear(HIDDEN, ANSWERS)

    def forward(self, ids: Tensor, second: Tensor, mask: Tensor) -> Tensor:
        """Logits of shape (pairs, 3) for token ids, segments and attention mask of shape (pairs, longest)."""
        states = self.encoder(
            input_ids=ids, token_type_ids=second, attention_mask=mask
        ).last_hidden_state
        in_claim = (second * mask)[..., None].float()
        in_premise = mask[..., None].float() - in_claim
        premise, claim = _mean(states, in_premise), _mean(states, in_claim)
        read = [states[:, 0], premise, claim, (premise - claim).abs(), premise * claim]
        found: Any = self.out(nn.functional.gelu(self.mix(torch.cat(read, 1))))
        return found


def _mean(states: Tensor, here: Tensor) -> Tensor:
    return (states * here).sum(1) / here.sum(1).clamp(min=1.0)
