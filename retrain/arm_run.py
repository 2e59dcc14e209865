"""One arm with one seed: trained, asked, and on disk. Each half that is on disk already is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from candor_guard.rows import read_rows
from evidence import digest
from probes.judge import ServerJudge
from probes.models.keys import read_key
from probes.models.local import LocalModel
from probes.models.openai import OpenAIModel
from probes.models.trunk import Trunk
from retrain.early_stop import EarlyStop, in_order
from retrain.evaluation import answer_scorer
from retrain.evaluation.capability import CapabilityAnswer, ask_capability, capability_items
from retrain.evaluation.evaluate import ItemResult, evaluate
from retrain.files import write_durably
from retrain.finetune import AdapterManifest, finetune, untrained_blocks
from retrain.lower_states import LowerStates
from retrain.plan import ConfirmPlan, items_digest, plan_items
from retrain.precision import evaluation_dtype

VANILLA = "vanilla"

Say = Callable[[str, float, float], None]
"""Called with what is done, and the shares of the training and of the evaluation that are done."""


def arm_name(arm: str, seed: int) -> str:
    """Names the files of an arm with one seed."""
    return f"{arm}-{seed}"


def rows_file(plan: ConfirmPlan, name: str) -> Path:
    """Where the arm's rows are, written before it is trained."""
    return plan.out / "arms" / f"{name}.jsonl"


def adapter_dir(plan: ConfirmPlan, name: str) -> Path:
    """Where the adapter of an arm with one seed is."""
    return plan.out / "arms" / name


class Shared(NamedTuple):
    """What arms of one process have alike below the blocks that are trained: in what they are asked, and in their rows."""

    trunk: Trunk | None
    rows: LowerStates


def shared(plan: ConfirmPlan) -> Shared:
    """For the arms of a plan; nothing where all blocks are trained."""
    from transformers import AutoConfig  # noqa: PLC0415 -- takes seconds to import

    config = AutoConfig.from_pretrained(str(plan.model_dir), local_files_only=True)
    count = untrained_blocks(config, plan.finetune.layer_share)
    return Shared(Trunk(count) if count else None, LowerStates(count))


def train_arm(
    plan: ConfirmPlan,
    name: str,
    seed: int,
    model_digest: str,
    say: Say = lambda *_: None,
    *,
    alike: Shared | None = None,
) -> AdapterManifest:
    """Train the arm of `rows_file`; an adapter that is on disk already is kept."""
    say("training", 0.0, 0.0)
    return finetune(
        read_rows(rows_file(plan, name)),
        plan.model_dir,
        adapter_dir(plan, name),
        plan.finetune,
        model_digest=model_digest,
        seed=seed,
        on_step=lambda done, total: say(f"training, step {done} of {total}", done / total, 0.0),
        lower=None if alike is None else alike.rows,
    )


def run_arm(
    plan: ConfirmPlan,
    name: str,
    seed: int,
    model_digest: str,
    say: Say = lambda *_: None,
    *,
    stop: EarlyStop | None = None,
    alike: Shared | None = None,
) -> tuple[AdapterManifest, tuple[ItemResult, ...]]:
    """Train the arm of `rows_file` and ask it. Needs nothing but the run's folder and the model's.

    `alike` is what other arms of this process leave it, and it leaves them.
    """
    made = train_arm(plan, name, seed, model_digest, say, alike=alike)

    def load() -> LocalModel:
        return LocalModel.load(
            plan.model_dir,
            dtype=evaluation_dtype(),
            device=plan.finetune.device,
            adapter=adapter_dir(plan, name),
            trunk=None if alike is None else alike.trunk,
        )

    return made, ask_arm(plan, name, load, digest(made.key, *made.files.values()), say, stop=stop)


def ask_arm(
    plan: ConfirmPlan,
    name: str,
    load: Callable[[], LocalModel],
    weights: str,
    say: Say = lambda *_: None,
    *,
    stop: EarlyStop | None = None,
) -> tuple[ItemResult, ...]:
    """The arm's evaluation; one that is on disk, made from the same weights and items, is kept."""
    items = in_order(plan_items(plan.items), plan.decision)
    path = evaluation_file(plan, name)
    scorer = answer_scorer(judge_of(plan))
    tasks = capability_items() if plan.capability else ()
    key = digest(
        weights,
        items_digest(items),
        plan.evaluation.model_dump_json(),
        scorer.name,
        *(task.id for task in tasks),
        "" if stop is None else stop.key,
    )
    kept = read_kept(path, Evaluation)
    if kept is None or kept.key != key:
        model = load()
        results = evaluate(
            model,
            items,
            plan.evaluation,
            scorer=scorer,
            progress=lambda what, share: say(what, 1.0, share),
            enough=stop or (lambda _results: None),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = Evaluation(key, tuple(results), ask_capability(model, tasks) if tasks else ())
        write_durably(path, msgspec.json.encode(kept))
    return kept.results


class Evaluation(msgspec.Struct, frozen=True):
    """One arm's evaluation as it is kept; `key` is the digest of all that made it."""

    key: str
    results: tuple[ItemResult, ...]
    capability: tuple[CapabilityAnswer, ...] = ()


def evaluation_file(plan: ConfirmPlan, name: str) -> Path:
    """Where an arm's evaluation is kept."""
    return plan.out / "evaluation" / f"{name}.json"


def kept_capability(plan: ConfirmPlan, names: Sequence[str]) -> tuple[CapabilityAnswer, ...]:
    """The ordinary tasks of finished evaluations, of all seeds together."""
    found = [read_kept(evaluation_file(plan, name), Evaluation) for name in names]
    return tuple(answer for one in found if one is not None for answer in one.capability)


def judge_of(plan: ConfirmPlan) -> ServerJudge | None:
    """The judge that labels the answers of a plan, with the key that the plan names."""
    if plan.judge_url is None:
        return None
    key = read_key(plan.judge_key_file, plan.judge_key_variable)
    return ServerJudge(OpenAIModel(plan.judge_url, plan.judge_model, api_key=key))


_T = TypeVar("_T")


def read_kept(path: Path, kind: type[_T]) -> _T | None:
    """A file of the run, or None where it is missing or was cut short."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
