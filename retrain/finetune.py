"""Train one arm: a LoRA adapter by TRL on a local model folder, kept with its manifest."""

from __future__ import annotations

import gc
import math
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from pydantic import Field

from candor_guard.compared import as_dataset
from candor_guard.files import file_sha256
from candor_guard.rows import Row, RowKind, manifest
from evidence import BadInputError, canonical_json, digest
from evidence.options import Options
from retrain.files import write_durably

if TYPE_CHECKING:
    from retrain.lower_states import LowerStates

MANIFEST = "adapter-manifest.json"

_PROBED_ROWS = 8

Steps = Callable[[int, int], None]
"""Called with the steps done and the steps in all."""


class FinetuneOptions(Options):
    """How every arm is trained."""

    rank: int = Field(default=16, gt=0)
    """Rank of the LoRA adapter."""
    alpha: float | None = Field(default=None, gt=0)
    """Alpha of the LoRA adapter; None: twice the rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of the LoRA adapter."""
    layer_share: float = Field(default=1.0, gt=0, le=1)
    """Share of the layers, from the last one down, that get an adapter; 0.5 trains in about two thirds of the time."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """Peak learning rate; linear decay after a tenth of the steps, where `further` says no other."""
    batch_size: int = Field(default=8, gt=0)
    """Rows in a step."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the rows."""
    max_length: int = Field(default=1024, gt=0)
    """Tokens of a row; a longer one loses its end."""
    device: str = "cpu"
    """Torch device."""
    further: dict[str, str | int | float] = Field(default={})
    """Further arguments of TRL's trainer, from the job's own file (`retrain.trainer_config`)."""
    config_digest: str | None = None
    """SHA-256 of that file; None where there is none."""
    config_ignored: tuple[str, ...] = ()
    """Names in that file that the run does not follow: places, logging, speed, and what it sets itself."""


class AdapterManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter folder holds. It is written last, so a folder without it is unfinished.

    `dropped` rows were not trained, because their prompt alone fills `max_length`. `first_loss` and
    `last_loss` are of the same rows, before training and after; None where that is no number.
    `adapter_norm` is the norm of the adapter's weights that start at nil.
    """

    key: str
    rows_digest: str
    seed: int
    steps: int
    train_loss: float
    seconds: float
    files: dict[str, str]
    first_loss: float | None
    last_loss: float | None
    adapter_norm: float
    dropped: int = 0


class _Done(NamedTuple):
    steps: int
    loss: float
    dropped: int
    first_loss: float | None
    last_loss: float | None
    adapter_norm: float


def finetune(
    rows: Sequence[Row],
    model_dir: Path,
    out_dir: Path,
    options: FinetuneOptions,
    *,
    model_digest: str,
    seed: int,
    on_step: Steps = lambda _done, _total: None,
    lower: LowerStates | None = None,
) -> AdapterManifest:
    """The adapter of these rows in `out_dir`; a finished one made from the same inputs is kept.

    The adapter is trained in a folder beside `out_dir` and moved there with its manifest, so a kill
    leaves either the whole adapter or none. The order of rows and the adapter's first weights
    depend on `seed` alone, hence are equal for arms of equal length. `lower` keeps what the untrained
    blocks of `model_dir` make of rows, for the next arm.
    """
    rows_digest = manifest(rows).digest
    key = digest(rows_digest, model_digest, canonical_json(options.model_dump()), str(seed))
    kept = finished_adapter(out_dir, key)
    if kept is not None:
        return kept
    shutil.rmtree(out_dir, ignore_errors=True)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}-", dir=out_dir.parent))
    try:
        started = time.monotonic()
        done = _train(rows, model_dir, work, options, seed=seed, on_step=on_step, lower=lower)
        files = {p.name: file_sha256(p) for p in sorted(work.iterdir()) if p.is_file()}
        made = AdapterManifest(
            key=key,
            rows_digest=rows_digest,
            seed=seed,
            steps=done.steps,
            train_loss=done.loss,
            dropped=done.dropped,
            first_loss=done.first_loss,
            last_loss=done.last_loss,
            adapter_norm=done.adapter_norm,
            seconds=time.monotonic() - started,
            files=files,
        )
        write_durably(work / MANIFEST, msgspec.json.format(msgspec.json.encode(made)))
        work.rename(out_dir)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        gc.collect()  # a trainer refers to itself, and holds a model
    return made


def finished_adapter(out_dir: Path, key: str) -> AdapterManifest | None:
    """The manifest of a finished adapter made from `key`, if it and every file are whole."""
    path = out_dir / MANIFEST
    if not path.is_file():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=AdapterManifest)
    except msgspec.DecodeError:
        return None  # cut short: trained again
    whole = found.key == key and all(
        (out_dir / name).is_file() and file_sha256(out_dir / name) == expected
        for name, expected in found.files.items()
    )
    return found if whole else None


def trained_part(kind: RowKind) -> str:
    """What the loss of an arm is over, for the report."""
    return "the last reply" if kind is RowKind.SFT else f"the answers, by {kind.value.upper()}"


def training_columns(row: Row) -> dict[str, Any]:
    """A row as the arm's trainer gets it: only the response is learnt, never the prompt."""
    content = row.content()
    if row.messages is not None:
        messages = content.pop("messages")
        content |= {"prompt": messages[:-1], "completion": messages[-1:]}
    return content


def _train(
    rows: Sequence[Row],
    model_dir: Path,
    work: Path,
    options: FinetuneOptions,
    *,
    seed: int,
    on_step: Steps,
    lower: LowerStates | None,
) -> _Done:
    import datasets  # noqa: PLC0415 -- torch and its kin take seconds to import
    import torch  # noqa: PLC0415
    from transformers import (  # noqa: PLC0415
        AutoModelForCausalLM,
        AutoTokenizer,
        TrainerCallback,
        set_seed,
    )

    from retrain.lower_states import LowerStates  # noqa: PLC0415

    class _Report(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            on_step(state.global_step, state.max_steps)

    datasets.disable_progress_bars()
    set_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(
        str(model_dir), dtype=torch.float32, local_files_only=True, trust_remote_code=False
    )
    tokenizer = AutoTokenizer.from_pretrained(str(model_dir), local_files_only=True)
    trainer = _trainer(rows, model, tokenizer, options, seed=seed, scratch=work / "trainer")
    if hasattr(trainer, "lower"):
        trainer.lower = lower or LowerStates(untrained_blocks(model.config, options.layer_share))
    trained = len(trainer.train_dataset)
    if not trained:
        raise BadInputError(f"every row is longer than max_length, {options.max_length} tokens")
    trainer.add_callback(_Report())
    trainer.remove_callback(_printer())
    first = _loss_of_own_rows(trainer)
    result = trainer.train()
    last = _loss_of_own_rows(trainer)
    trainer.model.save_pretrained(str(work))
    shutil.rmtree(work / "trainer", ignore_errors=True)
    return _Done(
        int(result.global_step),
        float(result.training_loss),
        len(rows) - trained,
        first,
        last,
        _adapter_norm(trainer.model),
    )


def _loss_of_own_rows(trainer: Any) -> float | None:
    """The trainer's loss on a few of its rows, always the same ones; None where it is no number."""
    import torch  # noqa: PLC0415

    count = min(_PROBED_ROWS, len(trainer.train_dataset))
    batch = trainer.data_collator([trainer.train_dataset[k] for k in range(count)])
    batch = {k: v.to(trainer.args.device) if hasattr(v, "to") else v for k, v in batch.items()}
    trainer.model.eval()
    with torch.no_grad():
        loss = float(trainer.compute_loss(trainer.model, batch))
    trainer.model.train()
    return loss if math.isfinite(loss) else None


def _adapter_norm(model: Any) -> float:
    squares = [
        float(weights.detach().float().square().sum())
        for name, weights in model.named_parameters()
        if "lora_B" in name
    ]
    norm = math.sqrt(sum(squares))
    return norm if math.isfinite(norm) else 0.0


def _printer() -> Any:
    from transformers.trainer_callback import PrinterCallback  # noqa: PLC0415

    return PrinterCallback


def _trainer(
    rows: Sequence[Row],
    model: Any,
    tokenizer: Any,
    options: FinetuneOptions,
    *,
    seed: int,
    scratch: Path,
) -> Any:
    import trl  # noqa: PLC0415
    from peft import LoraConfig  # noqa: PLC0415

    from retrain.completion_loss import CompletionSFTTrainer, has_plain_head  # noqa: PLC0415

    kind = rows[0].kind
    lean = options.device == "cpu" and has_plain_head(model)
    makers = {
        RowKind.SFT: (CompletionSFTTrainer if lean else trl.SFTTrainer, trl.SFTConfig),
        RowKind.KTO: (trl.KTOTrainer, trl.KTOConfig),
        RowKind.DPO: (trl.DPOTrainer, trl.DPOConfig),
    }
    trainer, config = makers[kind]
    dataset = as_dataset([training_columns(row) for row in rows])
    return trainer(
        model=model,
        args=config(**_arguments(options, seed, scratch)),
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=options.rank,
            lora_alpha=options.alpha or 2 * options.rank,
            lora_dropout=options.dropout,
            target_modules=adapted_layers(model, options.layer_share),
            task_type="CAUSAL_LM",
        ),
    )


def untrained_blocks(config: Any, share: float) -> int:
    """How many blocks, from the first one up, training the upper `share` leaves as they are."""
    count = int(getattr(config.get_text_config(), "num_hidden_layers", 0))
    return max(0, count - max(1, round(share * count)))


def adapted_layers(model: Any, share: float) -> list[str]:
    """Names of the linear layers in the upper `share` of the blocks, the output head left out."""
    import torch  # noqa: PLC0415

    first = untrained_blocks(model.config, share)
    names: list[str] = []
    for name, module in model.named_modules():
        block = re.search(r"\.(?:layers|h|blocks)\.(\d+)\.", name)
        if isinstance(module, torch.nn.Linear) and block and int(block.group(1)) >= first:
            names.append(name)
    return names


def _arguments(options: FinetuneOptions, seed: int, scratch: Path) -> dict[str, Any]:
    from retrain.precision import native_bfloat16  # noqa: PLC0415 -- needs torch

    return {
        "output_dir": str(scratch),
        "per_device_train_batch_size": options.batch_size,
        "num_train_epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.1,
        "logging_steps": 1_000_000,
        "save_strategy": "no",
        "report_to": "none",
        "seed": seed,
        "data_seed": seed,
        "max_length": options.max_length,
        "gradient_checkpointing": False,
        "bf16": options.device == "cpu" and native_bfloat16(),
        "use_cpu": options.device == "cpu",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        **options.further,
    }
