"""The Transformers callback of the guard, apart from it because its base class needs transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from candor_guard.errors import RefusedError

if TYPE_CHECKING:
    from candor_guard.guarded import GuardedRows


class GuardCallback(TrainerCallback):
    """Raises RefusedError before step 0 unless the tokens and labels that the trainer learns from are
    those of the released rows."""

    def __init__(self, guarded: GuardedRows) -> None:
        self._guarded = guarded

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        loader = kwargs.get("train_dataloader")
        if loader is None:
            raise RefusedError("other_dataset", "the trainer shows no training data")
        self._guarded.require(
            loader.dataset,
            kwargs.get("processing_class"),
            max_length=getattr(args, "max_length", None),
        )
