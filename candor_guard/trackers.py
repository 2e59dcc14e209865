"""The decision as tags of the runs that experiment trackers have open."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from candor_guard.decision import VerifiedDecision

_log = logging.getLogger(__name__)


def tag_runs(decision: VerifiedDecision) -> None:
    """Tag the open run of MLflow and of Weights & Biases.

    A run is open only where the job imported its tracker. A tracker that fails stops no training; the
    log says what it said.
    """
    tags = {
        "candor.decision_id": decision.decision_id,
        "candor.assistant": decision.assistant,
        "candor.subject_digest": decision.subject_digest,
        "candor.key_id": decision.key_id,
        "candor.overridden": str(decision.overridden).lower(),
    }
    for name, tag in _TRACKERS.items():
        tracker = sys.modules.get(name)
        if tracker is None:
            continue
        try:
            tag(tracker, tags)
        except Exception as error:
            _log.warning("the run of %s was not tagged: %s: %s", name, type(error).__name__, error)


def _mlflow(mlflow: Any, tags: dict[str, str]) -> None:
    if mlflow.active_run() is not None:
        mlflow.set_tags(tags)


def _wandb(wandb: Any, tags: dict[str, str]) -> None:
    if wandb.run is not None:
        wandb.run.config.update(tags, allow_val_change=True)
        wandb.run.tags = (*(wandb.run.tags or ()), "candor")


_TRACKERS: dict[str, Callable[[Any, dict[str, str]], None]] = {"mlflow": _mlflow, "wandb": _wandb}
