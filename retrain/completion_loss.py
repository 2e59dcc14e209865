"""TRL's SFT trainer, with a loss that looks at the learnt tokens alone: much less work on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy
from trl import SFTTrainer

from retrain.lower_states import LowerStates

_MORE = (
    "final_logit_softcapping",
    "lm_head_multiplier",
    "logit_scale",
    "logits_scaling",
    "output_multiplier",
    "output_router_logits",
)
"""Settings of models whose logits change after the output head, or whose loss has another term (mixtures of experts)."""


def has_plain_head(model: Any) -> bool:
    """Whether the loss rests on what the output head makes of the last hidden state, and on nothing else."""
    config = model.config.get_text_config()
    return all(getattr(config, name, None) is None for name in _MORE)


class CompletionSFTTrainer(SFTTrainer):
    """The loss of `trl.SFTTrainer` (mean negative log-likelihood of the labelled tokens), equal up to rounding.

    Where there is no Triton, TRL projects every position to the vocabulary, prompt and padding among
    them, and again for the gradient. Here only the labelled ones are projected, once. Needs a model
    with a plain head (`has_plain_head`) and reports no entropy and no token accuracy.
    """

    lower: LowerStates | None = None
    """Where rows begin whose blocks below the trained ones were computed before."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss of a batch; `num_items_in_batch` counts the labelled tokens of an accumulated step."""
        labels = inputs["labels"][:, 1:]
        given = {name: value for name, value in inputs.items() if name != "labels"}
        causal = self.accelerator.unwrap_model(model).get_base_model()
        learnt = labels != -100
        # The model's own forward, which Accelerate wraps, is passed by here.
        with self.accelerator.autocast():
            if self.lower is None:
                hidden = causal.base_model(**given, use_cache=False).last_hidden_state
            else:
                hidden = self.lower.last_hidden(causal, given)
            logits = causal.get_output_embeddings()(hidden[:, :-1][learnt]).float()
        count = learnt.sum() if num_items_in_batch is None else num_items_in_batch
        total = cross_entropy(logits, labels[learnt], reduction="sum")
        loss = total / torch.as_tensor(count).clamp(min=1)
        return (loss, {"logits": logits}) if return_outputs else loss
