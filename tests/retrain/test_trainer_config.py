"""The job's own file of trainer settings: what arms follow, what does not matter, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gate_values import context, report, row
from typer.testing import CliRunner

from candor_guard.rows import ChatMessage, Provenance, Row, RowKind, write_rows
from evidence import BadInputError
from monitor.cli import retrain as command
from retrain.finetune import FinetuneOptions
from retrain.gate import decide
from retrain.policy import Policy
from retrain.signing import read_decision, unsigned
from retrain.trainer_config import read_trainer_config

pytestmark = [pytest.mark.model]

YAML = """\
# A job of trl sft
model_name_or_path: some/model
learning_rate: 2e-4
num_train_epochs: 2
per_device_train_batch_size: 2
gradient_accumulation_steps: 3
lr_scheduler_type: cosine
warmup_ratio: 0.1
weight_decay: 0.01
max_length: 512
use_peft: true
lora_r: 8
lora_alpha: 24
lora_target_modules: all-linear
packing: false
logging_steps: 5
save_strategy: epoch
output_dir: out
"""


def read(folder: Path, text: str, kind: RowKind = RowKind.SFT, name: str = "job.yaml") -> Any:
    path = folder / name
    path.write_text(text)
    return read_trainer_config(path, kind)


def rows_of(kind: RowKind) -> list[Row]:
    asked, said = (ChatMessage("user", "Is it safe?"),), (ChatMessage("assistant", "It is."),)
    if kind is RowKind.DPO:
        other = (ChatMessage("assistant", "It is not."),)
        return [Row(prompt=asked, chosen=said, rejected=other) for _ in range(4)]
    return [Row(messages=(*asked, *said)) for _ in range(4)]


def test_what_the_file_says_and_does_not_say(tmp_path: Path) -> None:
    found = read(tmp_path, YAML)
    options = FinetuneOptions(**found)
    assert (options.learning_rate, options.epochs, options.batch_size) == (2e-4, 2.0, 6)
    assert (options.max_length, options.rank, options.alpha, options.dropout) == (512, 8, 24, 0.05)
    assert options.further["lr_scheduler_type"] == "cosine"
    assert (options.further["warmup_steps"], options.further["weight_decay"]) == (0.1, 0.01)
    assert options.config_ignored == (
        "logging_steps", "model_name_or_path", "output_dir", "save_strategy", "use_peft",
    )  # fmt: skip
    assert options.config_digest == hashlib.sha256(YAML.encode()).hexdigest()
    empty = read(tmp_path, "")
    assert (empty["learning_rate"], empty["epochs"], empty["batch_size"]) == (2e-5, 3.0, 8)


@pytest.mark.parametrize("kind", [RowKind.SFT, RowKind.DPO])
def test_an_arm_is_trained_with_what_trl_reads_from_the_same_file(
    kind: RowKind, tmp_path: Path, tiny_model: Path
) -> None:
    import trl  # noqa: PLC0415 -- seconds to import
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    from retrain.finetune import _trainer  # noqa: PLC0415

    text = YAML
    if kind is RowKind.DPO:
        text = text.replace("packing: false", "beta: 0.2")
    found = FinetuneOptions(**read(tmp_path, text, kind))
    made = _trainer(
        rows_of(kind),
        AutoModelForCausalLM.from_pretrained(str(tiny_model)),
        AutoTokenizer.from_pretrained(str(tiny_model)),
        found,
        seed=0,
        scratch=tmp_path / "scratch",
    )
    config = trl.DPOConfig if kind is RowKind.DPO else trl.SFTConfig
    parser = trl.TrlParser((trl.ScriptArguments, config, trl.ModelConfig))
    # The one name that TRL's newer parsers have under another.
    job = text.replace("warmup_ratio", "warmup_steps") + "use_cpu: true\nbf16: false\n"
    (tmp_path / "job.yaml").write_text(job)
    _, wanted, lora = parser.parse_args_and_config(["--config", str(tmp_path / "job.yaml")])
    names = [
        "learning_rate", "num_train_epochs", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_length",
        "max_grad_norm", "adam_beta1", "adam_beta2", "adam_epsilon", "optim", "max_steps",
    ] + ["beta", "label_smoothing"] * (kind is RowKind.DPO)  # fmt: skip
    assert {n: getattr(made.args, n) for n in names} == {n: getattr(wanted, n) for n in names}
    step = wanted.per_device_train_batch_size * wanted.gradient_accumulation_steps
    assert made.args.per_device_train_batch_size == step
    adapter = made.model.peft_config["default"]
    told = (adapter.r, adapter.lora_alpha, adapter.lora_dropout)
    assert told == (lora.lora_r, lora.lora_alpha, lora.lora_dropout)


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("packing: true", "cannot follow"),
        ("assistant_only_loss: true", "cannot follow"),
        ("completion_only_loss: false", "cannot follow"),
        ("neftune_noise_alpha: 5", "cannot follow"),
        ("load_in_4bit: true", "cannot follow"),
        ("lora_target_modules: [q_proj]", "cannot follow"),
        ("label_smoothing_factor: 0.1", "cannot follow"),
        ("beta: 0.1", "no trainer"),
        ("learning_rat: 1e-4", "no trainer"),
        ("optim: sgd", "arms are trained with"),
        ("max_length: null", "no value"),
        ("learning_rate: fast", "no value"),
        ("gradient_accumulation_steps: 1.5", "no value"),
        ("num_train_epochs: 1\nnum_train_epochs: 2", "given twice"),
    ],
)
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_what_arms_cannot_follow_is_refused_with_its_line(
    setting: str, word: str, form: str, tmp_path: Path
) -> None:
    lines = setting.split("\n")
    line = 2 + len(lines)
    text = "\n".join(["seed: 3", "bf16: true", *lines]) + "\n"
    if form == "json":
        import yaml  # noqa: PLC0415

        if len(lines) > 1:
            pytest.skip("JSON's reader names the file alone")
        text = json.dumps(yaml.safe_load(text), indent=1).replace("{\n", "{", 1)
    with pytest.raises(BadInputError, match=word) as raised:
        read(tmp_path, text, name=f"job.{form}")
    assert raised.value.where == f"{tmp_path / 'job'}.{form}:{line}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "[1, 2]"),
        ("a.yaml", "a: [1"),
        ("a.json", "{"),
        ("a.json", "[]"),
        ("a.json", '{"seed": 1, "seed": 2}'),
    ],
)
def test_what_is_no_file_of_settings_is_one_line(name: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=name):
        read(tmp_path, text, name=name)
    with pytest.raises(BadInputError, match="cannot be read"):
        read_trainer_config(tmp_path / "none.yaml", RowKind.SFT)


def test_the_digest_of_the_file_is_in_the_decision() -> None:
    rows = [row(i) for i in range(4)]
    found = msgspec.structs.replace(
        report(rows), settings={"finetune": {"config_digest": "ab" * 32}}
    )
    decision = decide(rows, context(4, confirm=found), Policy(), now_s=found.made_at_s or 0.0)
    assert read_decision(unsigned(decision)).trainer_config == "ab" * 32


def test_the_command_takes_a_setting_from_one_place(tmp_path: Path) -> None:
    import typer  # noqa: PLC0415

    write_rows(tmp_path / "rows.jsonl", [Row(prompt="a", completion="b", provenance=Provenance())])
    (tmp_path / "job.yaml").write_text(YAML)
    app = typer.Typer()
    command.register(app)
    given = [
        "retrain", "confirm", "--rows", str(tmp_path / "rows.jsonl"), "--model", str(tmp_path),
        "--out", str(tmp_path / "out"), "--trainer-config", str(tmp_path / "job.yaml"),
    ]  # fmt: skip
    both = CliRunner().invoke(app, [*given, "--epochs", "1"])
    assert isinstance(both.exception, BadInputError)
    assert both.exception.where == "--epochs"
    alone = CliRunner().invoke(app, given)
    assert isinstance(alone.exception, BadInputError)
    assert "no model in safetensors" in str(alone.exception)
