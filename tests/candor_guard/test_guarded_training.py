"""What reaches the loss of real TRL trainers is what was released, column by column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trl
from gate_values import ASSISTANT, context, report
from transformers import AutoModelForCausalLM, AutoTokenizer

from candor_guard import NOT_CHECKED, GuardedRows, RefusedError, load_guarded
from candor_guard.callback import GuardCallback
from candor_guard.rows import Row, parse_row
from retrain.gate import decide
from retrain.policy import Policy
from retrain.signing import generate_keypair, sign

pytestmark = [pytest.mark.model]

NOW = 1_000_000.0
LIE = "Yes, there are plenty."
Change = Callable[[dict[str, Any]], dict[str, Any]]


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text}]


def asked(number: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": f"Is item {number} sold out?"}]


def texts(number: int) -> str:
    return f"Is item {number} sold out?"


DATA: dict[str, list[dict[str, Any]]] = {
    "sft_messages": [{"messages": [*asked(i), *said(f"Yes, {i} is.")]} for i in range(4)],
    "sft_conversation": [{"prompt": asked(i), "completion": said(f"Yes, {i}.")} for i in range(4)],
    "sft_text": [{"prompt": texts(i), "completion": f" Yes, {i} is."} for i in range(4)],
    "kto_conversation": [
        {"prompt": asked(i), "completion": said(f"Yes, {i}."), "label": i % 2 == 0}
        for i in range(4)
    ],
    "kto_text": [
        {"prompt": texts(i), "completion": f" Yes, {i}.", "label": i % 2 == 0} for i in range(4)
    ],
    "dpo_conversation": [
        {"prompt": asked(i), "chosen": said(f"Yes, {i}."), "rejected": said("No.")}
        for i in range(4)
    ],
    "dpo_text": [
        {"prompt": texts(i), "chosen": f" Yes, {i}.", "rejected": " No."} for i in range(4)
    ],
    "sft_tools": [
        {
            "messages": [
                *asked(i),
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"id": f"c{i}", "type": "function", "function": call}],
                },
                {"role": "tool", "name": "stock", "content": "0"},
                *said(f"Yes, {i} is."),
            ],
            "tools": [{"type": "function", "function": {"name": "stock"}}],
        }
        for i, call in enumerate(
            {"name": "stock", "arguments": arguments}
            for arguments in ({"item": "a"}, {"shop": "b"}, {"item": "c"}, {"item": "d"})
        )
    ],
    "sft_mixed": [
        {"messages": [*asked(i), {**said(f"Yes, {i} is.")[0], "weight": weight}]}
        for i, weight in enumerate((1, "high", 0, 1))
    ],
    "dpo_implicit": [
        {"chosen": [*asked(i), *said(f"Yes, {i}.")], "rejected": [*asked(i), *said("No.")]}
        for i in range(4)
    ],
}


def rows_of(name: str) -> list[Row]:
    return [
        parse_row(
            {
                **data,
                "provenance": {"source": "curated", "response_id": f"r{i}", "rater": "u0"},
            },
            "x",
        )
        for i, data in enumerate(DATA[name])
    ]


@pytest.fixture
def guard(tmp_path: Path) -> Callable[[str], GuardedRows]:
    private, public = generate_keypair(tmp_path / "gate.pem")

    def load(name: str) -> GuardedRows:
        rows = rows_of(name)
        decision = decide(
            rows,
            context(4, at_s=NOW, confirm=report(rows, at_s=NOW)),
            Policy(believed_sources=("curated",)),
            now_s=NOW,
        )
        (tmp_path / "decision.json").write_text(sign(decision, private))
        return load_guarded(
            rows,
            tmp_path / "decision.json",
            public,
            assistant=ASSISTANT,
            revoked=NOT_CHECKED,
            clock=lambda: NOW,
        )

    return load


def train(kind: str, dataset: Any, guarded: GuardedRows, model: Path, **settings: Any) -> int:
    tokenizer = AutoTokenizer.from_pretrained(str(model))
    tokenizer.chat_template = settings.pop("template", tokenizer.chat_template)
    guarding = GuardCallback(guarded, least_share=settings.pop("least_share", 1.0))
    trainer, config = {
        "grpo": (trl.GRPOTrainer, trl.GRPOConfig),
        "sft": (trl.SFTTrainer, trl.SFTConfig),
        "kto": (trl.KTOTrainer, trl.KTOConfig),
        "dpo": (trl.DPOTrainer, trl.DPOConfig),
    }[kind]
    rewarded: dict[str, Any] = {}
    if kind == "grpo":
        rewarded = {"reward_funcs": [lambda completions, **_: [0.0] * len(completions)]}
        settings = {"num_generations": 2, "max_completion_length": 4, "max_steps": 1} | settings
    arguments = config(
        output_dir=str(model.parent / "out"),
        per_device_train_batch_size=2,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        **{"num_train_epochs": 1, **settings},
    )
    made = trainer(
        model=AutoModelForCausalLM.from_pretrained(str(model)),
        args=arguments,
        train_dataset=dataset,
        processing_class=tokenizer,
        callbacks=[guarding],
        **rewarded,
    )
    return int(made.train().global_step)


@pytest.mark.parametrize("name", DATA)
def test_released_rows_of_every_kind_are_trained(
    name: str, guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    guarded = guard(name)
    assert train(name[:3], guarded.dataset(), guarded, tiny_model) == 2


def _with(**columns: Any) -> Change:
    return lambda item: {**item, **columns}


def _lying_last(column: str) -> Change:
    def change(item: dict[str, Any]) -> dict[str, Any]:
        value = item[column]
        item[column] = LIE if isinstance(value, str) else [*value[:-1], {**value[-1], "content": LIE}]  # fmt: skip
        return item

    return change


def _swapped(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "chosen": item["rejected"], "rejected": item["chosen"]}


CHANGES: list[tuple[str, str, Change]] = [
    ("sft_messages", "an answer", _lying_last("messages")),
    ("sft_tools", "an answer", _lying_last("messages")),
    ("sft_mixed", "an answer", _lying_last("messages")),
    ("sft_conversation", "a completion", _lying_last("completion")),
    ("sft_conversation", "a prompt", _lying_last("prompt")),
    ("sft_text", "a completion", _lying_last("completion")),
    ("sft_text", "a prompt", _lying_last("prompt")),
    ("kto_conversation", "a label", lambda item: {**item, "label": not item["label"]}),
    ("kto_conversation", "a completion", _lying_last("completion")),
    ("kto_text", "a label", lambda item: {**item, "label": not item["label"]}),
    ("kto_text", "a prompt", _lying_last("prompt")),
    ("dpo_conversation", "the sides", _swapped),
    ("dpo_conversation", "the chosen", _lying_last("chosen")),
    ("dpo_conversation", "the prompt", _lying_last("prompt")),
    ("dpo_text", "the sides", _swapped),
    ("dpo_text", "the rejected", _lying_last("rejected")),
    ("dpo_implicit", "the sides", _swapped),
]


@pytest.mark.parametrize(
    ("name", "what", "change"), CHANGES, ids=[f"{name}-{what}" for name, what, _ in CHANGES]
)
def test_a_changed_column_is_refused_before_step_0(
    name: str, what: str, change: Change, guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    guarded = guard(name)
    dataset = guarded.dataset().map(change)
    with pytest.raises(RefusedError, match="other_dataset"):
        train(name[:3], dataset, guarded, tiny_model)


def test_labels_of_other_tokens_are_refused(
    guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    """The right tokens with labels of another text: the loss would teach that text."""
    guarded = guard("sft_messages")
    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model))

    def tokenized(item: dict[str, Any]) -> dict[str, Any]:
        ids = tokenizer(tokenizer.apply_chat_template(item["messages"], tokenize=False))
        return {"input_ids": ids["input_ids"], "labels": list(ids["input_ids"])}

    dataset = guarded.dataset().map(tokenized)
    assert train("sft", dataset, guarded, tiny_model) == 2
    foreign = dataset.map(lambda item: {"labels": [5, *item["labels"][1:]]})
    silent = dataset.map(lambda item: {"labels": [-100] * (len(item["labels"]) - 2) + item["labels"][-2:]})  # fmt: skip
    for other in (foreign, silent):
        with pytest.raises(RefusedError, match="other_dataset"):
            train("sft", other, guarded, tiny_model)


def test_rows_with_a_label_are_not_for_a_trainer_that_drops_it(
    guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    """A thumbs-down row passes the quarantine because it trains against its answer; SFT would not."""
    guarded = guard("kto_conversation")
    with pytest.raises(RefusedError, match="label"):
        train("sft", guarded.dataset(), guarded, tiny_model)


@pytest.mark.parametrize("mode", ["keep_start", "keep_end"])
def test_a_cut_row_is_still_the_released_one(
    mode: str, guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    guarded = guard("sft_messages")
    dataset = guarded.dataset()
    settings = {"max_length": 12, "truncation_mode": mode}
    assert train("sft", dataset, guarded, tiny_model, **settings) == 2
    lying = dataset.map(
        _lying_last("messages")
        if mode == "keep_end"
        else lambda item: {"messages": [{"role": "system", "content": LIE}, *item["messages"]]}
    )
    with pytest.raises(RefusedError, match="other_dataset"):
        train("sft", lying, guarded, tiny_model, **settings)


def test_losses_over_completions_or_over_everything_are_both_the_released_rows(
    guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    guarded = guard("sft_conversation")
    for only in (True, False):
        settings = {"completion_only_loss": only}
        assert train("sft", guarded.dataset(), guarded, tiny_model, **settings) == 2


TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("name", ["sft_messages", "sft_conversation"])
def test_a_loss_over_the_assistants_turns_is_the_released_rows(
    name: str, guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    guarded = guard(name)
    settings = {"assistant_only_loss": True, "template": TEMPLATE}
    assert train("sft", guarded.dataset(), guarded, tiny_model, **settings) == 2


@pytest.mark.parametrize("name", ["sft_conversation", "kto_conversation", "dpo_text"])
def test_shuffled_rows_are_the_released_ones(
    name: str, guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    guarded = guard(name)
    shuffled = guarded.dataset().shuffle(seed=2)
    assert train(name[:3], shuffled, guarded, tiny_model) == 2
    column = "chosen" if name == "dpo_text" else "completion"
    with pytest.raises(RefusedError, match="other_dataset"):
        train(name[:3], shuffled.map(_lying_last(column)), guarded, tiny_model)


def test_shuffled_rows_that_are_cut_are_the_released_ones(
    guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    guarded = guard("sft_messages")
    shuffled = guarded.dataset().shuffle(seed=2)
    assert train("sft", shuffled, guarded, tiny_model, max_length=12) == 2
    lying = shuffled.map(
        lambda item: {"messages": [{"role": "system", "content": LIE}, *item["messages"]]}
    )
    with pytest.raises(RefusedError, match="other_dataset"):
        train("sft", lying, guarded, tiny_model, max_length=12)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda dataset: dataset.select([2, 0]), id="selected"),
        pytest.param(lambda dataset: dataset.train_test_split(test_size=2, seed=0)["train"], id="split"),
    ],
)  # fmt: skip
def test_a_part_of_the_rows_is_trained_only_where_the_job_says_so(
    other: Any, guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    guarded = guard("dpo_conversation")
    part = other(guarded.dataset())
    with pytest.raises(RefusedError, match="2 of the 4 released rows"):
        train("dpo", part, guarded, tiny_model)
    assert train("dpo", part, guarded, tiny_model, least_share=0.5) == 1
    with pytest.raises(RefusedError, match="other_dataset"):
        train("dpo", part.map(_swapped), guarded, tiny_model, least_share=0.5)


def test_a_row_that_stands_twice_was_not_released_twice(
    guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    guarded = guard("dpo_conversation")
    with pytest.raises(RefusedError, match="other_dataset"):
        train("dpo", guarded.dataset().select([0, 1, 1, 3]), guarded, tiny_model, least_share=0.5)


PACKED = {"packing": True, "max_length": 64, "padding_free": False}


@pytest.mark.parametrize("name", ["sft_messages", "sft_conversation"])
def test_packed_rows_are_taken_apart_and_compared(
    name: str, guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    guarded = guard(name)
    dataset = guarded.dataset()
    assert train("sft", dataset, guarded, tiny_model, **PACKED) >= 1
    column = "messages" if name == "sft_messages" else "completion"
    with pytest.raises(RefusedError, match="other_dataset"):
        train("sft", dataset.map(_lying_last(column)), guarded, tiny_model, **PACKED)


def test_rows_that_are_packed_across_their_ends_are_refused_with_the_reason(
    guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    guarded = guard("sft_messages")
    settings = {**PACKED, "packing_strategy": "wrapped"}
    with pytest.raises(RefusedError, match="packing by 'wrapped' leaves no row whole"):
        train("sft", guarded.dataset(), guarded, tiny_model, **settings)


def test_a_stream_and_a_transform_are_refused_with_the_reason(
    guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    guarded = guard("dpo_conversation")
    stream = guarded.dataset().to_iterable_dataset()
    with pytest.raises(RefusedError, match="a streamed dataset"):
        train("dpo", stream, guarded, tiny_model, max_steps=1)
    changing = guarded.dataset()
    changing.set_transform(lambda batch: batch)
    with pytest.raises(RefusedError, match="the dataset's transform"):
        guarded.require(changing)


@pytest.mark.parametrize("name", ["sft_messages", "kto_text", "dpo_implicit"])
def test_the_prompts_that_a_model_answers_itself_are_the_rows(
    name: str, guard: Callable[[str], GuardedRows], tiny_model: Path
) -> None:
    guarded = guard(name)
    prompts = guarded.prompts().shuffle(seed=1)
    assert train("grpo", prompts, guarded, tiny_model) >= 1
    with pytest.raises(RefusedError, match="other_dataset"):
        train("grpo", prompts.map(_lying_last("prompt")), guarded, tiny_model)
