"""What is refused before a confirm run pays for anything: models and rows that cannot be trained or asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from candor_guard.rows import Row, RowKind
from candor_guard.trained import answered, with_prompt
from evidence import BadInputError
from retrain.arms import check_kinds
from retrain.finetune import FinetuneOptions, adapted_layers, training_columns


class Lengths(NamedTuple):
    """Rows that a trainer drops because the prompt alone fills the room, and rows that lose their end."""

    dropped: int
    cut: int


def check_model_dir(model_dir: Path) -> None:
    """Raise BadInputError unless the folder holds a model in safetensors."""
    if not (model_dir / "config.json").is_file() or not list(model_dir.glob("*.safetensors")):
        raise BadInputError("no model in safetensors here", str(model_dir))


def check_trainable(model_dir: Path, rows: Sequence[Row], options: FinetuneOptions) -> Lengths:
    """The lengths of `rows`, where arms of this model can be trained on them and be asked.

    Raises BadInputError in one line for a model without a chat template, without linear layers to
    adapt, or whose state cannot be shared by several answers; for rows of several kinds, rows that
    the chat template refuses, and where no row is short enough to be trained.
    """
    where = str(model_dir)
    check_model_dir(model_dir)
    tokenizer = _tokenizer(model_dir)
    if not getattr(tokenizer, "chat_template", None):
        raise BadInputError("the model has no chat template, with which its arms are asked", where)
    _check_architecture(model_dir, options, where)
    check_kinds(rows)
    lengths = row_lengths(model_dir, rows, options.max_length, tokenizer)
    if rows and lengths.dropped == len(rows):
        raise BadInputError(
            f"in all {len(rows)} rows the prompt alone fills max_length, {options.max_length} tokens: "
            "there is nothing to train"
        )
    return lengths


def row_lengths(
    model_dir: Path, rows: Sequence[Row], max_length: int, tokenizer: Any = None
) -> Lengths:
    """Counts the rows that do not fit. Raises BadInputError for one that the chat template refuses."""
    tokenizer = tokenizer or _tokenizer(model_dir)
    dropped = cut = 0
    for index, row in enumerate(rows):
        try:
            prompt, longest = _tokens(tokenizer, row)
        except Exception as error:
            # Templates are programs of the model's author: they raise whatever they like.
            reason = str(error).partition("\n")[0]
            raise BadInputError(
                f"the model's chat template refuses it: {reason}", f"row {index}"
            ) from error
        dropped += prompt >= max_length
        cut += prompt < max_length < longest
    return Lengths(dropped, cut)


def _tokens(tokenizer: Any, row: Row) -> tuple[int, int]:
    columns = training_columns(row)
    if row.kind is RowKind.DPO:
        made = answered(tokenizer, with_prompt(columns), ("chosen", "rejected"))
    else:
        made = answered(tokenizer, columns, ("completion",))
    return len(made.prompt), len(made.prompt) + max(map(len, made.answers))


def _tokenizer(model_dir: Path) -> Any:
    from transformers import AutoTokenizer  # noqa: PLC0415 -- torch and its kin take seconds to import

    try:
        return AutoTokenizer.from_pretrained(str(model_dir), local_files_only=True)
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInputError(f"the model has no tokenizer: {reason}", str(model_dir)) from error


def _check_architecture(model_dir: Path, options: FinetuneOptions, where: str) -> None:
    """By the model's outline without its weights."""
    import torch  # noqa: PLC0415
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415

    try:
        config = AutoConfig.from_pretrained(
            str(model_dir), local_files_only=True, trust_remote_code=False
        )
        with torch.device("meta"):
            outline = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInputError(f"not a causal language model: {reason}", where) from error
    if getattr(outline, "_is_stateful", False):
        raise BadInputError(
            f"a {config.model_type} model keeps a state that several answers cannot share, "
            "so its arms cannot be asked",
            where,
        )
    if not adapted_layers(outline, options.layer_share):
        raise BadInputError(
            f"a {config.model_type} model has no linear layers for an adapter", where
        )
