"""The trainer's settings from the job's own file: what `trl sft --config` reads, or the same as JSON."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from candor_guard.rows import RowKind
from evidence import BadInputError

_REACH_THE_TRAINER: Mapping[str, Callable[[Any], Any]] = {
    "lr_scheduler_type": str,
    "warmup_steps": float,
    "weight_decay": float,
    "max_grad_norm": float,
    "adam_beta1": float,
    "adam_beta2": float,
    "adam_epsilon": float,
    "max_steps": int,
    "optim": str,
}
_OF_KINDS: Mapping[RowKind, Mapping[str, Callable[[Any], Any]]] = {
    RowKind.SFT: {},
    RowKind.KTO: {"beta": float, "desirable_weight": float, "undesirable_weight": float},
    RowKind.DPO: {"beta": float, "label_smoothing": float},
}
_OPTIMISERS = frozenset({"adamw_torch", "adamw_torch_fused"})
_IGNORED = frozenset({
    "output_dir", "report_to", "run_name", "project", "disable_tqdm", "push_to_hub", "seed", "data_seed", "env",
    "model_name_or_path", "model_revision", "attn_implementation", "dtype", "torch_dtype", "bf16", "fp16", "tf32",
    "use_cpu", "no_cuda", "gradient_checkpointing", "gradient_checkpointing_kwargs", "resume_from_checkpoint",
    "overwrite_output_dir", "local_rank", "debug", "deepspeed", "do_train", "do_eval", "do_predict",
    "skip_memory_metrics", "per_device_eval_batch_size", "use_liger_kernel", "lora_task_type", "use_peft",
    "dataset_num_proc", "dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers",
    "dataloader_prefetch_factor", "full_determinism", "trust_remote_code", "use_cache",
})  # fmt: skip
"""Where and how fast it is trained, and what is written of it: settings that the run has of its own, or needs none of."""
_IGNORED_BEGINNINGS = (
    "logging_", "log_", "save_", "hub_", "eval_", "ddp_", "fsdp", "torch_compile", "trackio_", "include_",
    "dataset_name", "dataset_config", "dataset_train_split", "dataset_test_split", "bf16_", "fp16_",
)  # fmt: skip


def read_trainer_config(path: Path, kind: RowKind) -> dict[str, Any]:
    """Fields of `retrain.finetune.FinetuneOptions` from a file, for rows of one kind.

    What the file does not name has TRL's default, as in the job.

    Raises BadInputError naming file and line of a setting that would change what is learnt and that arms cannot follow,
    of one that nobody knows, and of a value that is none.
    """
    try:
        data = path.read_bytes()
        given = _settings(data.decode("utf-8"), path)
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(path)) from error
    except UnicodeDecodeError as error:
        raise BadInputError("not UTF-8 text", str(path)) from error
    reading = _Reading(given, path, kind)
    return {
        **reading.options(),
        "config_digest": hashlib.sha256(data).hexdigest(),
        "config_ignored": tuple(sorted(reading.ignored)),
    }


class _Given(NamedTuple):
    value: Any
    line: int


def _settings(text: str, path: Path) -> dict[str, _Given]:
    """The top level of a YAML or JSON mapping, with the line of each name."""
    if path.suffix == ".json":
        return _json_settings(text, path)
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        loader = yaml.SafeLoader("")
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise BadInputError("a trainer's settings are a mapping of names", str(path))
        found: dict[str, _Given] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if str(key.value) in found:
                raise BadInputError(f"`{key.value}` is given twice", f"{path}:{line}")
            made = loader.construct_object(value, deep=True)
            found[str(key.value)] = _Given(made, line)
    except (yaml.YAMLError, RecursionError) as error:
        raise BadInputError(f"not YAML: {error}".replace("\n", " "), str(path)) from error
    return found


def _json_settings(text: str, path: Path) -> dict[str, _Given]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [name for name, n in Counter(name for name, _ in pairs).items() if n > 1]
        if twice:
            raise BadInputError(f"`{twice[0]}` is given twice", str(path))
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"not JSON: {error}", str(path)) from error
    if not isinstance(found, dict):
        raise BadInputError("a trainer's settings are a mapping of names", str(path))
    lines = text.splitlines()
    at = {name: next((k for k, line in enumerate(lines, 1) if json.dumps(name) in line), 1) for name in found}  # fmt: skip
    return {name: _Given(value, at[name]) for name, value in found.items()}


class _Reading:
    """One file's settings, sorted into what arms follow, what does not matter to them, and what is refused."""

    def __init__(self, given: dict[str, _Given], path: Path, kind: RowKind) -> None:
        self._given, self._path, self._kind = given, path, kind
        self._defaults = _trl_defaults(kind)
        self._further = {**_REACH_THE_TRAINER, **_OF_KINDS[kind]}
        self.ignored: set[str] = set()

    def options(self) -> dict[str, Any]:
        taken = {
            "learning_rate": self._number("learning_rate", float),
            "epochs": self._number("num_train_epochs", float),
            "batch_size": self._number("per_device_train_batch_size", int)
            * self._number("gradient_accumulation_steps", int),
            "max_length": self._number("max_length", int),
            "rank": self._number("lora_r", int),
            "alpha": self._number("lora_alpha", float),
            "dropout": self._number("lora_dropout", float),
            "further": {name: self._number(name, read) for name, read in self._further.items()},
        }
        if "warmup_ratio" in self._given:
            taken["further"]["warmup_steps"] = self._number("warmup_ratio", float)
        if taken["further"]["optim"] not in _OPTIMISERS:
            raise self._refused(
                "optim", f"arms are trained with {' or '.join(sorted(_OPTIMISERS))}"
            )
        self._look_at_the_rest()
        return taken

    def _look_at_the_rest(self) -> None:
        taken = {
            "learning_rate", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps",
            "max_length", "lora_r", "lora_alpha", "lora_dropout", "warmup_ratio", *self._further,
        }  # fmt: skip
        for name, (value, _) in self._given.items():
            if name in taken or self._changes_nothing(name, value):
                continue
            if name in _IGNORED or name.startswith(_IGNORED_BEGINNINGS):
                self.ignored.add(name)
            elif name in self._defaults:
                raise self._refused(name, "it changes what is learnt, and arms cannot follow it")
            else:
                raise self._refused(name, "no trainer of these rows has it")

    def _changes_nothing(self, name: str, value: Any) -> bool:
        if name == "completion_only_loss" and value is True:
            return True  # of each row the arms learn the last reply
        if name == "lora_target_modules" and value in ("all-linear", ["all-linear"]):
            return True
        return name in self._defaults and bool(value == self._defaults[name])

    def _number(self, name: str, read: Callable[[Any], Any]) -> Any:
        """A value as the trainer's own parser would read it, which takes the text 2e-5 for a number."""
        value = self._given[name].value if name in self._given else self._defaults[name]
        try:
            if isinstance(value, bool) or value is None or isinstance(value, dict | list):
                raise ValueError(value)
            if read is not str and isinstance(value, str):
                value = float(value)
            made = read(value)
            if read is int and made != value:
                raise ValueError(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._refused(
                name, f"{value!r} is no value that an arm can be trained with"
            ) from error
        return made

    def _refused(self, name: str, why: str) -> BadInputError:
        line = self._given[name].line if name in self._given else 1
        return BadInputError(f"`{name}`: {why}", f"{self._path}:{line}")


def _trl_defaults(kind: RowKind) -> dict[str, Any]:
    """Defaults of everything that TRL's command reads for rows of a kind."""
    import trl  # noqa: PLC0415 -- seconds to import

    configs = {RowKind.SFT: trl.SFTConfig, RowKind.KTO: trl.KTOConfig, RowKind.DPO: trl.DPOConfig}
    found: dict[str, Any] = {}
    for config in (trl.ScriptArguments, trl.ModelConfig, configs[kind]):
        for one in dataclasses.fields(config):
            if one.default_factory is not dataclasses.MISSING:
                found[one.name] = one.default_factory()
            else:
                found[one.name] = None if one.default is dataclasses.MISSING else one.default
    found = {name: getattr(value, "value", value) for name, value in found.items()}
    return {**found, "warmup_ratio": 0.0}
