"""The arms and seeds of a confirm run as tasks of a Ray cluster: as many at once as it has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from evidence import BadInputError, UnreachableError
from retrain.arm_run import run_arm
from retrain.plan import ConfirmPlan


def run_arms_on_ray(
    plan: ConfirmPlan,
    wanted: Sequence[tuple[str, int]],
    model_digest: str,
    finished: Callable[[int], None] = lambda _count: None,
) -> None:
    """Run every (name, seed) as a task of the cluster that this process belongs to, or of
    `RAY_ADDRESS`. What they make lies in the run's folder, which all nodes see.

    A task takes one GPU where the plan's device is one, else one core. Raises BadInputError without
    the extra, UnreachableError without a cluster; a task's own error is raised as it was.
    """
    try:
        import ray  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError as error:
        raise BadInputError("arms on Ray need the extra `ray`", "--ray") from error
    try:
        ray.init(address="auto", logging_level="warning", log_to_driver=False)
    except ConnectionError as error:
        raise UnreachableError("Ray", str(error).partition("\n")[0]) from error
    try:
        room = {"num_cpus": 1} if plan.finetune.device == "cpu" else {"num_gpus": 1}
        task: Any = ray.remote(**room, max_retries=2)(_task)
        waiting = [task.remote(plan, name, seed, model_digest) for name, seed in wanted]
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=1)
            try:
                ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.as_instanceof_cause() from error
            finished(len(wanted) - len(waiting))
    finally:
        ray.shutdown()


def _task(plan: ConfirmPlan, name: str, seed: int, model_digest: str) -> str:
    run_arm(plan, name, seed, model_digest)
    return name
