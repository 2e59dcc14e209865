"""Every kind of rows shows by its own loss whether its arm learned anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from candor_guard.rows import Row, parse_row
from retrain.finetune import AdapterManifest, FinetuneOptions, finetune

pytestmark = pytest.mark.model


def _rows(kind: str) -> list[Row]:
    made: list[dict[str, Any]] = []
    for number in range(8):
        question, answer, other = f"What is {number}?", f"It is {number}.", "Nobody can say."
        fields: dict[str, dict[str, Any]] = {
            "sft": {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]},
            "kto": {"prompt": question, "completion": answer if number % 2 else other, "label": bool(number % 2)},
            "dpo": {"prompt": question, "chosen": answer, "rejected": other},
        }  # fmt: skip
        made.append(fields[kind])
    return [parse_row(data, "x") for data in made]


def _trained(kind: str, model: Path, out: Path, learning_rate: float) -> AdapterManifest:
    options = FinetuneOptions(batch_size=4, rank=4, epochs=3, learning_rate=learning_rate)
    return finetune(_rows(kind), model, out, options, model_digest="m", seed=0)


def _fall(made: AdapterManifest) -> float:
    assert made.first_loss is not None
    assert made.last_loss is not None
    return (made.first_loss - made.last_loss) / made.first_loss


@pytest.mark.parametrize("kind", ["sft", "kto", "dpo"])
def test_a_loss_falls_with_training_and_not_without(
    kind: str, tiny_model: Path, tmp_path: Path
) -> None:
    learned = _trained(kind, tiny_model, tmp_path / "learned", 1e-2)
    nothing = _trained(kind, tiny_model, tmp_path / "nothing", 1e-12)
    assert _fall(learned) > 0.01
    assert abs(_fall(nothing)) < 1e-4
    assert learned.adapter_norm > 100 * nothing.adapter_norm
    assert learned.first_loss == pytest.approx(nothing.first_loss)
