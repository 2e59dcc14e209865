"""The Transformers callback of the guard, apart from it because its base class needs transformers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from candor_guard.compared import Rendering
from candor_guard.errors import BadInputError, RefusedError
from candor_guard.stamp import Stamp, stamp_of, write_stamp
from candor_guard.trackers import tag_runs

if TYPE_CHECKING:
    from candor_guard.guarded import GuardedRows

_log = logging.getLogger(__name__)


class GuardCallback(TrainerCallback):
    """Raises RefusedError before step 0 unless the tokens and labels that the trainer learns from are
    those of the released rows, and while it trains when the decision expires or is revoked.

    Checkpoints, and what `save_model` writes after the training, get `candor-attestation.json`.

    Parameters
    ----------
    recheck_steps
        Steps between two looks at expiry and revocation; the last step always has one.
    least_share
        Share of the released rows that must be trained. Below 1 a part may be held out, as by
        `train_test_split`; what the confirm run tried was all rows, and the stamp says how many were trained.
    """

    def __init__(
        self, guarded: GuardedRows, *, recheck_steps: int = 100, least_share: float = 1.0
    ) -> None:
        if recheck_steps < 1:
            raise BadInputError("is at least 1", "recheck_steps")
        if not 0 < least_share <= 1:
            raise BadInputError("is above 0 and at most 1", "least_share")
        self._guarded = guarded
        self._recheck_steps, self._least_share = recheck_steps, least_share
        self._rows = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        loader = kwargs.get("train_dataloader")
        if loader is None:
            raise RefusedError("other_dataset", "the trainer shows no training data")
        rendering = Rendering(
            kwargs.get("processing_class"),
            getattr(args, "max_length", None),
            getattr(args, "packing_strategy", "") if getattr(args, "packing", False) else "",
            hasattr(args, "num_generations"),
        )
        self._rows = self._guarded.require(loader.dataset, rendering, least_share=self._least_share)
        if state.is_world_process_zero:
            tag_runs(self._guarded.decision)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if state.global_step % self._recheck_steps == 0:
            self._guarded.recheck()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self._guarded.recheck()
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and folder.is_dir():
            write_stamp(folder, self._stamp(state))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self._guarded.recheck()
        model: Any = kwargs.get("model")
        if state.is_world_process_zero and hasattr(model, "save_pretrained"):
            # No event tells of `save_model`: what the trained model saves from now on is stamped.
            model.save_pretrained = StampedSave(model, self._stamp(state))

    def stamp(self, folder: Path | str, state: Any) -> None:
        """Stamp a folder that something else wrote, such as merged weights; `state` is the trainer's."""
        self._guarded.recheck()
        write_stamp(Path(folder), self._stamp(state))

    def _stamp(self, state: Any) -> Stamp:
        return stamp_of(self._guarded, rows=self._rows, steps=int(state.global_step))


class StampedSave:
    """`save_pretrained` of one trained model, which stamps the folder; it is copied with the model.

    Weights that were written to since, as by another training, are saved without a stamp.
    """

    def __init__(self, model: Any, stamp: Stamp) -> None:
        self._model, self._stamp = model, stamp
        self._written = _times_written(model)

    def __call__(self, save_directory: Path | str, *args: Any, **kwargs: Any) -> Any:
        result = type(self._model).save_pretrained(self._model, save_directory, *args, **kwargs)
        if _times_written(self._model) != self._written:
            _log.warning("the weights changed after the guarded training and get no stamp")
        elif kwargs.get("is_main_process", True):
            write_stamp(Path(save_directory), self._stamp)
        return result


def _times_written(model: Any) -> int:
    return sum(parameter._version for parameter in model.parameters())
