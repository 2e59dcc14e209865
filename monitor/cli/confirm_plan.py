"""What `candor retrain confirm` is told, as a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evidence import BadInputError

if TYPE_CHECKING:
    from retrain.plan import ConfirmPlan


def plan_of(**fields: Any) -> ConfirmPlan:
    from retrain.plan import ConfirmPlan  # noqa: PLC0415

    made: ConfirmPlan = options_of(ConfirmPlan, **fields)
    return made


def options_of(kind: Any, **fields: Any) -> Any:
    """Options from the command line; the first wrong one as bad input."""
    from pydantic import ValidationError  # noqa: PLC0415

    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]).replace("_", "-")
        raise BadInputError(first["msg"], f"--{name}") from error


def finetune_options(
    rows: Path, config: Path | None, given: dict[str, float | None], **more: Any
) -> Any:
    """How arms are trained: by the command line, or by the job's own file.

    Raises BadInputError where both say it.
    """
    from candor_guard.rows import iter_rows  # noqa: PLC0415
    from retrain.finetune import FinetuneOptions  # noqa: PLC0415
    from retrain.trainer_config import read_trainer_config  # noqa: PLC0415

    told: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if config is not None:
        if told:
            option = f"--{min(told).replace('_', '-')}"
            raise BadInputError("the trainer's file says it already", option)
        first = next(iter_rows(rows), None)
        if first is None:
            raise BadInputError("no rows", str(rows))
        told = read_trainer_config(config, first.kind)
    return options_of(FinetuneOptions, **told, **more)


def stop_fields(policy: Path | None, *, early_stop: bool) -> dict[str, Any]:
    """What a plan takes from the gate's policy: the limit of influence that is measured, and how many items are enough to
    stop."""
    from monitor.services.gate import policy_of  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from retrain.policy import read_policy  # noqa: PLC0415

    rules = policy_of(load_settings().retrain, policy)
    return {
        "max_influence": None if policy is None else read_policy(policy).max_influence,
        "early_stop": early_stop,
        "least_items": rules.min_items,
        "least_templates": rules.min_templates,
    }
