"""The lean loss is TRL's loss, and its gradient TRL's gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import trl
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CohereConfig,
    Gemma2Config,
    GraniteConfig,
    LlamaConfig,
    MixtralConfig,
)

from candor_guard.rows import parse_row
from retrain.completion_loss import CompletionSFTTrainer, has_plain_head
from retrain.finetune import FinetuneOptions, _trainer

pytestmark = [pytest.mark.model]

_MADE = [
    {
        "messages": [
            {"role": "user", "content": "Sold out?"},
            {"role": "assistant", "content": "Yes, all."},
        ]
    },
    {
        "messages": [
            {"role": "user", "content": "And today, at five?"},
            {"role": "assistant", "content": "No."},
        ]
    },
]
ROWS = [parse_row(row, "x") for row in _MADE]


def _trainer_of(maker: Any, model: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    if maker is trl.SFTTrainer:
        monkeypatch.setattr("retrain.completion_loss.has_plain_head", lambda _model: False)
    torch.manual_seed(0)
    loaded = AutoModelForCausalLM.from_pretrained(str(model), dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(str(model))
    made = _trainer(ROWS, loaded, tokenizer, FinetuneOptions(), seed=0, scratch=scratch)
    assert type(made) is maker
    return made


def _loss_and_gradient(trainer: Any, count: int | None) -> tuple[float, torch.Tensor]:
    (batch,) = trainer.get_train_dataloader()
    for name, weight in trainer.model.named_parameters():
        if "lora_B" in name:  # zero at first, where all gradients of A would vanish
            torch.manual_seed(len(name))
            weight.data.normal_(std=0.1)
    counted = None if count is None else torch.tensor(count)
    loss = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=counted)
    loss.backward()
    grads = [p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]
    return float(loss.detach()), torch.cat(grads)


@pytest.mark.parametrize("count", [None, 40])
def test_loss_and_gradient_are_those_of_trl(
    tiny_model: Path, tmp_path: Path, count: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrain.precision.native_bfloat16", lambda: False)
    lean = _trainer_of(CompletionSFTTrainer, tiny_model, tmp_path / "a", monkeypatch)
    ours, our_gradient = _loss_and_gradient(lean, count)
    bare = _trainer_of(trl.SFTTrainer, tiny_model, tmp_path / "b", monkeypatch)
    theirs, their_gradient = _loss_and_gradient(bare, count)
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert their_gradient.norm() > 0
    assert torch.allclose(our_gradient, their_gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_training_learns_the_same_in_either_precision(
    tiny_model: Path, tmp_path: Path, bfloat16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrain.precision.native_bfloat16", lambda: bfloat16)
    lean, bare = (
        _trainer_of(maker, tiny_model, tmp_path / maker.__name__, monkeypatch).train()
        for maker in (CompletionSFTTrainer, trl.SFTTrainer)
    )
    assert lean.training_loss == pytest.approx(bare.training_loss, rel=1e-4)


def test_a_loss_that_needs_more_is_left_to_trl() -> None:
    class Model:
        def __init__(self, config: Any) -> None:
            self.config = config

    assert has_plain_head(Model(LlamaConfig()))
    for bent in (Gemma2Config(), CohereConfig(), GraniteConfig(), MixtralConfig()):
        assert not has_plain_head(Model(bent)), bent.model_type
