"""The confirm run: arms, fine-tunes, evaluation, comparisons, report. It goes on after a kill."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from evidence import BadInputError, digest
from probes.models.local import LocalModel
from probes.scenarios import Scenario
from retrain.arms import APPROVED_MODEL, ArmRows, align_control, answered_row, build_arms
from retrain.evaluate import ItemResult, evaluate
from retrain.files import write_durably
from retrain.finetune import AdapterManifest, check_model_dir, finetune
from retrain.plan import CONTROL_AUTO, ConfirmPlan, items_digest, plan_items
from retrain.precision import evaluation_dtype
from retrain.render import render_html
from retrain.report import Arm, ConfirmReport
from retrain.rows import Row, manifest, read_rows, write_rows
from retrain.summary import Trained, arm_result, comparisons

__all__ = ["ConfirmPlan", "ConfirmReport", "run_confirm"]

REPORT = "report.json"
_PLAN = "plan.json"

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the run done, in [0, 1]."""


def run_confirm(
    plan: ConfirmPlan, *, progress: Progress = lambda _what, _share: None
) -> ConfirmReport:
    """Run the plan in `plan.out` and write report.json, report.html and manifest.json there.

    Each finished adapter and evaluation is kept with its checksum, so a run killed at any moment
    goes on where it was. report.json is the last file to appear: a run that did not finish has
    none, and the gate holds. Raises BadInputError for unusable rows or model, or a folder that
    belongs to another plan.
    """
    return _Run(plan, progress).run()


class _Identity(msgspec.Struct, frozen=True):
    plan_digest: str


class _Run:
    def __init__(self, plan: ConfirmPlan, progress: Progress) -> None:
        self._plan, self._progress = plan, progress
        self._out = plan.out
        self._started = time.monotonic()
        self._candidate = read_rows(plan.rows)
        self._items = plan_items(plan.items)
        check_model_dir(plan.model_dir)
        self._vanilla: LocalModel | None = None
        self._pool = self._control_pool()

    def run(self) -> ConfirmReport:
        self._out.mkdir(parents=True, exist_ok=True)
        model_digest = self._base().digest
        control_digest = "" if self._pool is None else manifest(self._pool).digest
        identity = self._plan.identity(
            manifest(self._candidate).digest, model_digest, control_digest
        )
        finished = self._claim(identity)
        if finished is not None:
            return finished
        arms = self._arms(model_digest)
        work = _Work(len(arms) * len(self._plan.seeds))
        trained = [self._vanilla_arm(work)]
        self._vanilla = None
        trained += [self._trained_arm(arm, model_digest, work) for arm in arms]
        return self._report(trained, identity, model_digest)

    def _control_pool(self) -> list[Row] | None:
        control = self._plan.control
        if control is None or control == Path(CONTROL_AUTO):
            return None
        return read_rows(control)

    def _base(self) -> LocalModel:
        if self._vanilla is None:
            self._vanilla = LocalModel.load(self._plan.model_dir, dtype=evaluation_dtype())
        return self._vanilla

    def _claim(self, identity: str) -> ConfirmReport | None:
        """Take the folder for this plan; returns the report when the plan is finished already."""
        path = self._out / _PLAN
        if not path.is_file():
            write_durably(path, msgspec.json.encode(_Identity(identity)))
            return None
        found = _read(path, _Identity)
        if found is None or found.plan_digest != identity:
            raise BadInputError("the folder belongs to another confirm run", str(self._out))
        report = _read(self._out / REPORT, ConfirmReport)
        return report if report is not None and report.plan_digest == identity else None

    def _arms(self, model_digest: str) -> tuple[ArmRows, ...]:
        if self._plan.control is None:
            # Nothing can be released, but what the rows do to the model is still shown.
            return build_arms(self._candidate, (), self._candidate)[1:]
        if self._pool is not None:
            control = align_control(self._candidate, self._pool)
        else:
            control = tuple(self._answered(model_digest))
        return build_arms(self._candidate, self._plan.removed, control)

    def _answered(self, model_digest: str) -> list[Row]:
        """The candidate's prompts answered by the last approved model, kept across kills."""
        path = self._out / "control.jsonl"
        if path.is_file():
            return read_rows(path)
        options = self._plan.evaluation
        answers: list[str] = []
        for start in range(0, len(self._candidate), options.chunk):
            self._progress(
                "control: answers of the approved model", 0.1 * start / len(self._candidate)
            )
            answers += self._base().generate(
                [row.prompt_messages() for row in self._candidate[start : start + options.chunk]],
                max_new_tokens=options.max_new_tokens,
                temperature=options.temperature,
                seed=options.seed,
            )
        rows = [
            answered_row(row, answer or "I do not know.", model_digest[:12])
            for row, answer in zip(self._candidate, answers, strict=True)
        ]
        write_rows(path, rows)
        return rows

    def _vanilla_arm(self, work: _Work) -> Trained:
        self._say("vanilla: evaluation", work.at())
        results = self._evaluated("vanilla", self._base, self._base().digest, work)
        return Trained(arm=Arm.VANILLA, results=(tuple(results),))

    def _trained_arm(self, arm: ArmRows, model_digest: str, work: _Work) -> Trained:
        adapters: list[AdapterManifest] = []
        results: list[tuple[ItemResult, ...]] = []
        for seed in self._plan.seeds:
            name = f"{arm.arm.value}-{seed}"
            folder = self._out / "arms" / name
            write_rows(self._out / "arms" / f"{name}.jsonl", arm.rows)
            self._say(f"{arm.arm.value}: training", work.at())
            made = finetune(
                arm.rows,
                self._plan.model_dir,
                folder,
                self._plan.finetune,
                model_digest=model_digest,
                seed=seed,
                on_step=lambda done, total, arm=arm: self._say(  # type: ignore[misc]
                    f"{arm.arm.value}: training, step {done} of {total}",
                    work.at(training=done / total),
                ),
            )
            work.trained()
            adapters.append(made)
            load = _loader(self._plan.model_dir, folder)
            key = digest(made.key, *made.files.values())
            results.append(tuple(self._evaluated(name, load, key, work)))
        return Trained(arm=arm.arm, rows=arm, adapters=tuple(adapters), results=tuple(results))

    def _evaluated(
        self, name: str, load: Callable[[], LocalModel], key: str, work: _Work
    ) -> Sequence[ItemResult]:
        """The arm's evaluation; one that is on disk, made from the same weights and items, is kept."""
        path = self._out / "evaluation" / f"{name}.json"
        key = digest(key, items_digest(self._items), self._plan.evaluation.model_dump_json())
        kept = _read(path, _Evaluation)
        if kept is None or kept.key != key:
            results = self._ask(load(), name, work)
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = _Evaluation(key, tuple(results))
            write_durably(path, msgspec.json.encode(kept))
        work.evaluated()
        return kept.results

    def _ask(self, model: LocalModel, name: str, work: _Work) -> list[ItemResult]:
        return evaluate(
            model,
            self._items,
            self._plan.evaluation,
            progress=lambda what, share: self._say(
                f"{name.rsplit('-', 1)[0]}: {what}", work.at(evaluation=share)
            ),
        )

    def _say(self, what: str, share: float) -> None:
        self._progress(what, 0.1 + 0.88 * share)

    def _report(self, trained: list[Trained], identity: str, model_digest: str) -> ConfirmReport:
        self._progress("report", 0.99)
        plan = self._plan
        report = ConfirmReport(
            run_id=plan.run_id,
            assistant=plan.assistant,
            model_digest=model_digest,
            control=self._control_name(),
            arms=tuple(arm_result(one) for one in trained),
            comparisons=comparisons(trained, self._items, plan.decision),
            seeds=plan.seeds,
            items_digest=items_digest(self._items),
            plan_digest=identity,
            seconds=time.monotonic() - self._started,
            peak_memory_mib=peak_memory_mib(),
            notes=_notes(plan, self._items),
        )
        render_html(report, self._out)
        files = sorted(
            p for p in self._out.rglob("*.json*") if p.name not in {REPORT, "manifest.json"}
        )
        listing = {str(p.relative_to(self._out)): digest(p.read_bytes()) for p in files}
        write_durably(self._out / "manifest.json", msgspec.json.encode(listing))
        write_durably(self._out / REPORT, msgspec.json.format(msgspec.json.encode(report)))
        self._progress("done", 1.0)
        return report

    def _control_name(self) -> str | None:
        if self._plan.control is None:
            return None
        if self._pool is None:
            return APPROVED_MODEL
        return "source:" + ",".join(sorted(manifest(self._pool).sources))


class _Evaluation(msgspec.Struct, frozen=True):
    key: str
    results: tuple[ItemResult, ...]


class _Work:
    """The share of the run that is done; a training counts as much as three evaluations."""

    def __init__(self, trainings: int) -> None:
        self._total = 4.0 * trainings + 1.0
        self._done = 0.0

    def at(self, *, training: float = 0.0, evaluation: float = 0.0) -> float:
        return (self._done + 3.0 * training + evaluation) / self._total

    def trained(self) -> None:
        self._done += 3.0

    def evaluated(self) -> None:
        self._done += 1.0


def _loader(model_dir: Path, adapter: Path) -> Callable[[], LocalModel]:
    return lambda: LocalModel.load(model_dir, dtype=evaluation_dtype(), adapter=adapter)


_T = TypeVar("_T")


def _read(path: Path, kind: type[_T]) -> _T | None:
    """A file of the run, or None where it is missing or was cut short."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def peak_memory_mib() -> float:
    """Largest resident size of this process so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _notes(plan: ConfirmPlan, items: Sequence[Scenario]) -> tuple[str, ...]:
    notes = []
    if len(plan.seeds) < 2:
        notes.append("one training seed: the spread between seeds is not in the intervals")
    if plan.control is None:
        notes.append("no control: nothing can be released")
    templates = len({item.template for item in items})
    notes.append(
        f"{len(items)} items of {templates} templates; templates are the independent units"
    )
    return tuple(notes)
