"""Rows whose untrained blocks were computed before, beside rows computed whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from test_confirm import _rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from candor_guard.rows import Row
from retrain import finetune as finetune_module
from retrain.finetune import FinetuneOptions, finetune
from retrain.lower_states import LowerStates

pytestmark = pytest.mark.model


@pytest.fixture
def model(tiny_model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_model).eval()


@pytest.fixture
def batch(tiny_model: Path) -> dict[str, torch.Tensor]:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model, padding_side="right")
    texts = ["The shop is open until six.", "No.", "It closed at noon, I am afraid, and stays so."]
    made = tokenizer(texts, return_tensors="pt", padding=True)
    return {name: made[name] for name in ("input_ids", "attention_mask")}


def _whole(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        states: torch.Tensor = model.base_model(**batch, use_cache=False).last_hidden_state
    return states[batch["attention_mask"].bool()]


def _read(states: LowerStates, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return states.last_hidden(model, batch)[batch["attention_mask"].bool()]


def _counted(model: Any) -> list[int]:
    """Rows that the lowest block computes, a number each time."""
    seen: list[int] = []
    model.model.layers[0].register_forward_hook(
        lambda _module, given, _output: seen.append(len(given[0]))
    )
    return seen


def test_a_row_is_computed_once_in_any_batch(model: Any, batch: dict[str, torch.Tensor]) -> None:
    states, seen = LowerStates(1), _counted(model)
    expected = _whole(model, batch)
    del seen[:]
    for _ in range(2):
        torch.testing.assert_close(_read(states, model, batch), expected, atol=1e-5, rtol=1e-4)
    assert seen == [2, 2, 1], "two rows are computed both ways at first, and the third once"
    assert states.rows == 3
    part = {name: value[[2, 1]] for name, value in batch.items()}
    torch.testing.assert_close(
        _read(states, model, part), _whole(model, part), atol=1e-5, rtol=1e-4
    )
    assert len(model.model.layers) == 2, "the model is whole again"


def test_training_learns_what_it_learns_without(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last digit but rounding, over two epochs and for a second arm that has most rows in common."""
    options = FinetuneOptions(batch_size=4, rank=4, epochs=2, layer_share=0.5, learning_rate=1e-2)
    rows = _rows()
    shared = LowerStates(1)

    def trained(name: str, rows: list[Row], lower: LowerStates) -> tuple[Any, dict[str, Any]]:
        from safetensors.torch import load_file  # noqa: PLC0415 -- an extra

        out = tmp_path / name
        made = finetune(rows, tiny_model, out, options, model_digest="m", seed=0, lower=lower)
        return made, load_file(out / "adapter_model.safetensors")

    for k, arm in enumerate((rows, [*rows[:-2], *rows[:2]])):
        made, weights = trained(f"shared-{k}", arm, shared)
        plain, expected = trained(f"plain-{k}", arm, LowerStates(0))
        assert weights.keys() == expected.keys()
        for name, value in weights.items():
            torch.testing.assert_close(value, expected[name], atol=1e-4, rtol=1e-3)
        assert made.last_loss == pytest.approx(plain.last_loss, abs=1e-4)
        assert made.first_loss is not None
        assert made.first_loss > (made.last_loss or 0.0)
        assert shared.rows == len({msgspec.json.encode(row.messages) for row in rows})
    assert (
        finetune_module.untrained_blocks(
            AutoModelForCausalLM.from_pretrained(tiny_model).config, 0.5
        )
        == 1
    )


@pytest.mark.parametrize("count", [0, 99])
def test_nothing_is_kept_where_there_are_no_such_blocks(
    model: Any, batch: dict[str, torch.Tensor], count: int
) -> None:
    states = LowerStates(count)
    torch.testing.assert_close(_read(states, model, batch), _whole(model, batch))
    assert states.rows == 0


def test_a_model_that_changes_what_it_is_given_is_computed_whole(
    model: Any, batch: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = model.model.forward

    def scaled(*args: Any, inputs_embeds: Any = None, **named: Any) -> Any:
        if inputs_embeds is not None:
            return run(*args, inputs_embeds=3.0 * inputs_embeds, **named)
        return run(*args, **named)

    monkeypatch.setattr(model.model, "forward", scaled)
    states = LowerStates(1)
    torch.testing.assert_close(_read(states, model, batch), _whole(model, batch))


def test_dropout_below_is_drawn_anew(model: Any, batch: dict[str, torch.Tensor]) -> None:
    model.config.attention_dropout = 0.1
    states = LowerStates(1)
    _read(states, model, batch)
    assert states.rows == 0


def test_padding_on_the_left_is_computed_whole(model: Any, batch: dict[str, torch.Tensor]) -> None:
    states = LowerStates(1)
    _read(states, model, batch)
    kept = states.rows
    turned = {name: value.flip(1) for name, value in batch.items()}
    torch.testing.assert_close(_read(states, model, turned), _whole(model, turned))
    assert states.rows == kept


def test_memory_is_bounded(model: Any, batch: dict[str, torch.Tensor]) -> None:
    states = LowerStates(1, max_bytes=1)
    torch.testing.assert_close(
        _read(states, model, batch), _whole(model, batch), atol=1e-5, rtol=1e-4
    )
    assert states.rows == 0
