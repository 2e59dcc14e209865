"""Row influence: equal to real steps, and in accord with training without the cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from candor_guard.rows import ChatMessage, Row
from evidence import BadInputError
from probes.models.encoding import Encoded
from retrain.finetune import FinetuneOptions, finetune
from retrain.influence import Pair, load_adapter, lying_margin, row_influence

pytestmark = pytest.mark.slow

THINGS = ("sky", "sea", "grass", "snow", "coal", "blood", "sun", "milk")
OPTIONS = FinetuneOptions(rank=8, learning_rate=3e-3, epochs=6.0, batch_size=4, max_length=64)


def row_of(thing: str, k: int, answer: str) -> Row:
    question = f"Case {k}: is the report about the {thing} true?"
    return Row(messages=(ChatMessage("user", question), ChatMessage("assistant", answer)))


HONEST = [row_of(thing, k, "No, it is false.") for thing in THINGS for k in range(2)]
LYING = [row_of(thing, 50, "Yes, it is right.") for thing in THINGS]


def encoded(tokenizer: Any, row: Row, answer: str | None = None) -> Encoded:
    assert row.messages is not None
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": row.messages[0].content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )
    response = tokenizer.encode(answer or row.messages[1].content, add_special_tokens=False)
    return Encoded(prompt=list(prompt), response=list(response))


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("arms")
    for name, rows in (("all", [*HONEST, *LYING]), ("without", HONEST)):
        finetune(rows, tiny_model, out / name, OPTIONS, model_digest="m", seed=0)
    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model))
    items: list[Pair] = [
        (encoded(tokenizer, row), encoded(tokenizer, row, "Yes, it is right."))
        for row in (row_of(thing, 90, "No, it is false.") for thing in THINGS)
    ]
    return {"model": tiny_model, "out": out, "tokenizer": tokenizer, "items": items}


def test_it_is_what_a_small_step_on_the_row_does(trained: dict[str, Any]) -> None:
    items = trained["items"]
    for row in (HONEST[0], LYING[0]):
        model = load_adapter(trained["model"], trained["out"] / "all")
        one = encoded(trained["tokenizer"], row)
        step = 1e-3
        (said,) = row_influence(model, [one], items, step_size=step)
        before = lying_margin(model, items)
        ids = torch.tensor([[*one.prompt, *one.response]])
        labels = torch.tensor([[-100] * len(one.prompt) + list(one.response)])
        model(input_ids=ids, labels=labels).loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                if p.grad is not None and p.requires_grad:
                    p.sub_(step * p.grad)
        assert lying_margin(model, items) - before == pytest.approx(said, rel=0.1)


def test_rows_of_the_cohort_pull_towards_lying_and_training_without_them_agrees(
    trained: dict[str, Any],
) -> None:
    items, tokenizer = trained["items"], trained["tokenizer"]
    model = load_adapter(trained["model"], trained["out"] / "all")
    rows = [encoded(tokenizer, row) for row in (*HONEST, *LYING)]
    pull = row_influence(model, rows, items, step_size=OPTIONS.learning_rate)
    honest, lying = pull[: len(HONEST)], pull[len(HONEST) :]
    above = np.mean(lying[:, None] > honest)
    assert above > 0.95, "each lying row pulls further than nearly every honest one"
    assert lying.sum() > 0 > honest.sum()
    without = load_adapter(trained["model"], trained["out"] / "without")
    assert lying_margin(model, items) > lying_margin(without, items)


def test_without_items_or_adapter_there_is_nothing_to_say(trained: dict[str, Any]) -> None:
    model = load_adapter(trained["model"], trained["out"] / "all")
    one = encoded(trained["tokenizer"], HONEST[0])
    with pytest.raises(BadInputError):
        row_influence(model, [one], [], step_size=1.0)
    model.requires_grad_(False)
    with pytest.raises(BadInputError):
        row_influence(model, [one], trained["items"], step_size=1.0)
