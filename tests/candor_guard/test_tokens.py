"""Rows as tokens, for trainers that render nothing themselves: TRL's tokens and labels, guarded alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
import trl
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainingArguments,
)

from candor_guard import BadInputError, RefusedError
from candor_guard.callback import GuardCallback
from candor_guard.stamp import STAMP
from tests.candor_guard.test_guarded_training import guard

__all__ = ["guard"]
pytestmark = [pytest.mark.model]


def train(dataset: Any, guarded: Any, model: Path, out: Path) -> int:
    tokenizer = AutoTokenizer.from_pretrained(str(model))
    trainer = Trainer(
        AutoModelForCausalLM.from_pretrained(str(model)),
        TrainingArguments(str(out), max_steps=2, use_cpu=True, report_to="none", save_steps=2),
        train_dataset=dataset,
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        processing_class=tokenizer,
        callbacks=[GuardCallback(guarded)],
    )
    return int(trainer.train().global_step)


@pytest.mark.parametrize("name", ["sft_messages", "sft_conversation", "sft_text", "sft_tools"])
@pytest.mark.parametrize("max_length", [1024, 20])
def test_they_are_what_trl_learns_from(
    guard: Any, name: str, max_length: int, tiny_model: Path, tmp_path: Path
) -> None:
    guarded, tokenizer = guard(name), AutoTokenizer.from_pretrained(str(tiny_model))
    trainer = trl.SFTTrainer(
        AutoModelForCausalLM.from_pretrained(str(tiny_model)),
        trl.SFTConfig(str(tmp_path), max_length=max_length, use_cpu=True, report_to="none"),
        train_dataset=guarded.dataset(),
        processing_class=tokenizer,
    )
    if (name, max_length) == ("sft_conversation", 20):  # the answers begin behind the cut
        with pytest.raises(BadInputError, match="nothing to learn"):
            guarded.tokens(tokenizer, max_length=max_length)
        return
    made = guarded.tokens(tokenizer, max_length=max_length)
    assert len(made) == len(trainer.train_dataset)
    for ours, theirs in zip(made, trainer.train_dataset, strict=True):
        batch = trainer.data_collator([theirs])
        assert ours["input_ids"] == batch["input_ids"][0].tolist()
        assert ours["labels"] == batch["labels"][0].tolist()
        assert ours["attention_mask"] == [1] * len(ours["input_ids"])


@pytest.mark.parametrize("name", ["sft_messages", "sft_conversation"])
def test_they_train_guarded_also_from_a_folder(
    guard: Any, name: str, tiny_model: Path, tmp_path: Path
) -> None:
    guarded, tokenizer = guard(name), AutoTokenizer.from_pretrained(str(tiny_model))
    made = guarded.tokens(tokenizer)
    made.save_to_disk(str(tmp_path / "tokens"))
    again = datasets.load_from_disk(str(tmp_path / "tokens"))
    assert train(again, guarded, tiny_model, tmp_path / "out") == 2
    assert (tmp_path / "out/checkpoint-2" / STAMP).is_file()


@pytest.mark.parametrize("column", ["input_ids", "labels"])
def test_a_changed_token_or_label_is_refused(
    guard: Any, column: str, tiny_model: Path, tmp_path: Path
) -> None:
    guarded, tokenizer = guard("sft_messages"), AutoTokenizer.from_pretrained(str(tiny_model))
    made = guarded.tokens(tokenizer)
    changed = made.map(lambda one: {column: [*one[column][:-3], 5, *one[column][-2:]]})
    changed.info.description = made.info.description
    with pytest.raises(RefusedError, match=column):
        train(changed, guarded, tiny_model, tmp_path)


@pytest.mark.parametrize("name", ["kto_text", "dpo_text"])
def test_other_kinds_have_no_such_form(guard: Any, name: str, tiny_model: Path) -> None:
    with pytest.raises(BadInputError, match="SFT rows alone"):
        guard(name).tokens(AutoTokenizer.from_pretrained(str(tiny_model)))
