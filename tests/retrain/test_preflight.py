"""Models that cannot be trained or asked are refused in one line, before a run pays for anything."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
)

from candor_guard.rows import Row, parse_row
from evidence import BadInputError
from retrain.finetune import FinetuneOptions
from retrain.preflight import Lengths, check_trainable

pytestmark = [pytest.mark.model]

ROWS = [parse_row({"prompt": f"Is {i} sold out?", "completion": "Yes."}, "x") for i in range(3)]
OPTIONS = FinetuneOptions()


def _model(kind: str, tiny: Path, out: Path) -> Path:
    if kind == "no template":
        shutil.copytree(tiny, out)
        tokenizer = AutoTokenizer.from_pretrained(str(tiny))
        tokenizer.chat_template = None
        (out / "chat_template.jinja").unlink(missing_ok=True)
        tokenizer.save_pretrained(out)
        return out
    size = 64
    made: Any = {
        "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=size, n_embd=8, n_layer=1, n_head=2)),
        "mamba": lambda: MambaForCausalLM(
            MambaConfig(vocab_size=size, hidden_size=8, num_hidden_layers=1, state_size=4)
        ),
    }[kind]()
    made.save_pretrained(out)
    AutoTokenizer.from_pretrained(str(tiny)).save_pretrained(out)
    return out


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("no template", "the model has no chat template"),
        ("gpt2", "a gpt2 model has no linear layers for an adapter"),
        ("mamba", "a mamba model keeps a state that several answers cannot share"),
    ],
)
def test_a_model_that_cannot_be_an_arm_is_named(
    kind: str, why: str, tiny_model: Path, tmp_path: Path
) -> None:
    folder = _model(kind, tiny_model, tmp_path / "model")
    with pytest.raises(BadInputError, match=why) as error:
        check_trainable(folder, ROWS, OPTIONS)
    assert error.value.where == str(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("broken", ["config.json", "tokenizer.json", "nothing there"])
def test_a_folder_that_holds_no_model_is_named(
    broken: str, tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    if broken == "nothing there":
        shutil.rmtree(folder)
    else:
        (folder / broken).write_text("{")
    with pytest.raises(BadInputError) as error:
        check_trainable(folder, ROWS, OPTIONS)
    assert "\n" not in str(error.value)


def test_a_good_model_and_rows_pass(tiny_model: Path) -> None:
    assert check_trainable(tiny_model, ROWS, OPTIONS) == Lengths(0, 0)


@pytest.mark.parametrize(
    "data",
    [
        {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]},
        {"prompt": "Is it so?", "completion": " Yes.", "label": False},
        {"prompt": "Is it so?", "chosen": " Yes.", "rejected": " No."},
        {"chosen": "Q: A", "rejected": "Q: B"},
    ],
)
def test_lengths_are_those_of_every_kind(data: dict[str, Any], tiny_model: Path) -> None:
    rows: list[Row] = [parse_row(data, "x")]
    assert check_trainable(tiny_model, rows, OPTIONS) == Lengths(0, 0)
    with pytest.raises(BadInputError, match="there is nothing to train"):
        check_trainable(tiny_model, rows, FinetuneOptions(max_length=1))
