"""The confirm run: arms, fine-tunes, evaluation, comparisons, report. It goes on after a kill."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import msgspec

from candor_guard.rows import Row, manifest, read_rows, write_rows
from evidence import BadInputError, digest
from probes.models.local import LocalModel
from retrain.ahead import TrainingAhead, can_train_ahead
from retrain.answers import ANSWERS
from retrain.arm_run import (
    VANILLA,
    Say,
    adapter_dir,
    arm_name,
    ask_arm,
    kept_capability,
    read_kept,
    rows_file,
    run_arm,
    shared,
    train_arm,
)
from retrain.arms import (
    APPROVED_MODEL,
    ArmRows,
    align_control,
    answered_row,
    build_arms,
    check_kinds,
    control_rows,
)
from retrain.early_stop import EarlyStop, in_order
from retrain.evaluation.evaluate import ItemResult
from retrain.files import write_durably
from retrain.finetune import AdapterManifest, trained_part
from retrain.memory import peak_memory_mib
from retrain.notes import run_notes
from retrain.plan import CONTROL_AUTO, ConfirmPlan, items_digest, plan_items
from retrain.precision import evaluation_dtype
from retrain.preflight import check_model_dir, check_trainable, row_lengths
from retrain.ray_arms import run_arms_on_ray
from retrain.render import render_html
from retrain.report import Arm, ConfirmReport, ControlRows
from retrain.seeds import SPREADS, SeedBook, read_book, write_book
from retrain.side_by_side import side_by_side
from retrain.summary import (
    Trained,
    arm_result,
    comparisons,
    firmnesses,
    measured_spreads,
    settled,
)
from retrain.work import Work

__all__ = ["ConfirmPlan", "ConfirmReport", "run_confirm"]

REPORT = "report.json"
INFLUENCE = "influence.json"
"""The influence of the candidate's rows, kept across kills."""
_PLAN = "plan.json"

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the run done, in [0, 1]."""


def run_confirm(
    plan: ConfirmPlan,
    *,
    progress: Progress = lambda _what, _share: None,
    on_ray: bool = False,
) -> ConfirmReport:
    """Run the plan in `plan.out` and write report.json, report.html, answers.json and manifest.json there.

    Each finished adapter and evaluation is kept with its checksum, so a run killed at any moment
    goes on where it was. report.json is the last file to appear: a run that did not finish has
    none, and the gate holds. `on_ray` makes each arm and seed a task of a Ray cluster.

    Raises BadInputError for unusable rows or model, or a folder that belongs to another plan, and
    UnreachableError without a cluster.
    """
    return _Run(plan, progress, on_cluster=on_ray).run()


class _Identity(msgspec.Struct, frozen=True):
    plan_digest: str


class Influence(msgspec.Struct, frozen=True):
    """What influence was measured, with the adapter that it was measured on."""

    adapter: str
    rows: dict[str, float]


class _Run:
    def __init__(self, plan: ConfirmPlan, progress: Progress, *, on_cluster: bool) -> None:
        self._plan, self._progress, self._on_cluster = plan, progress, on_cluster
        self._out = plan.out
        self._started = time.monotonic()
        self._candidate = read_rows(plan.rows)
        self._items = plan_items(plan.items)
        check_model_dir(plan.model_dir)
        self._influence: dict[str, float] = {}
        self._alike = shared(plan)
        self._vanilla: LocalModel | None = None
        self._ahead: TrainingAhead | None = None
        self._pool = self._control_pool()

    def run(self) -> ConfirmReport:
        check_kinds([*self._candidate, *(self._pool or ())])
        check_trainable(self._plan.model_dir, self._candidate, self._plan.finetune)
        self._out.mkdir(parents=True, exist_ok=True)
        try:
            return self._whole_run()
        finally:
            if self._ahead is not None:
                self._ahead.close()

    def _whole_run(self) -> ConfirmReport:
        if not (self._on_cluster or (self._out / REPORT).exists()) and can_train_ahead(self._plan):
            self._ahead = TrainingAhead(self._plan)
        model_digest = self._base().digest
        control_digest = "" if self._pool is None else manifest(self._pool).digest
        identity = self._plan.identity(
            manifest(self._candidate).digest, model_digest, control_digest
        )
        finished = self._claim(identity)
        if finished is not None:
            return finished
        return self._report(self._trained(model_digest), identity, model_digest)

    def _trained(self, model_digest: str) -> list[Trained]:
        """All arms, trained and asked. Training goes ahead of the asking where the machine has room."""
        control = self._control(model_digest)
        arms = self._arms(control, self._plan.removed)
        if self._plan.max_influence is not None:
            self._want([arm for arm in arms if arm.arm is Arm.CANDIDATE], model_digest)
            arms = self._arms(control, self._removed_by_influence(model_digest))
        self._want(arms, model_digest)
        work = Work(len(arms) * len(self._plan.seeds))
        if self._on_cluster:
            self._on_ray(arms, model_digest)
        trained = [self._vanilla_arm(work)]
        self._vanilla = None
        for arm in arms:
            stop = self._stop(arm.arm, trained, model_digest)
            trained.append(self._trained_arm(arm, model_digest, work, stop))
        return trained

    def _control_pool(self) -> list[Row] | None:
        control = self._plan.control
        if control is None or control == Path(CONTROL_AUTO):
            return None
        return read_rows(control)

    def _base(self) -> LocalModel:
        if self._vanilla is None:
            self._vanilla = LocalModel.load(
                self._plan.model_dir,
                dtype=evaluation_dtype(),
                device=self._plan.finetune.device,
                trunk=self._alike.trunk,
            )
        return self._vanilla

    def _claim(self, identity: str) -> ConfirmReport | None:
        """Take the folder for this plan; returns the report when the plan is finished already."""
        path = self._out / _PLAN
        if not path.is_file():
            write_durably(path, msgspec.json.encode(_Identity(identity)))
            return None
        found = read_kept(path, _Identity)
        if found is None or found.plan_digest != identity:
            raise BadInputError("the folder belongs to another confirm run", str(self._out))
        report = read_kept(self._out / REPORT, ConfirmReport)
        return report if report is not None and report.plan_digest == identity else None

    def _control(self, model_digest: str) -> tuple[Row, ...] | None:
        if self._plan.control is None:
            return None
        if self._pool is not None:
            return align_control(self._candidate, self._pool)
        return tuple(self._answered(model_digest))

    def _arms(
        self, control: tuple[Row, ...] | None, removed: Collection[int]
    ) -> tuple[ArmRows, ...]:
        if control is None:
            # Nothing can be released, but what the rows do to the model is still shown.
            return build_arms(self._candidate, (), self._candidate)[1:]
        return build_arms(self._candidate, removed, control)

    def _removed_by_influence(self, model_digest: str) -> set[int]:
        """The positions that the gate removes once it knows the influence that is measured here."""
        from retrain.influence import measured_influence  # noqa: PLC0415 -- needs torch and peft

        plan, seed = self._plan, self._plan.seeds[0]
        name = arm_name(Arm.CANDIDATE.value, seed)
        if self._on_cluster:
            run_arms_on_ray(plan, [(name, seed)], model_digest)
        say = self._saying(name, Work(1))
        self._wait(name, say)
        adapter = train_arm(plan, name, seed, model_digest, say, alike=self._alike)
        path = self._out / INFLUENCE
        kept = read_kept(path, Influence)
        if kept is None or kept.adapter != adapter.key:
            self._progress("influence of the rows", 0.1)
            kept = Influence(
                adapter.key,
                measured_influence(plan, adapter_dir(plan, name), self._candidate, self._items),
            )
            write_durably(path, msgspec.json.encode(kept))
        self._influence = kept.rows
        limit = plan.max_influence
        pulls = [kept.rows.get(row.provenance.response_id or "") for row in self._candidate]
        found = {
            i
            for i, pull in enumerate(pulls)
            if limit is not None and pull is not None and pull > limit
        }
        return found | set(plan.removed)

    def _answered(self, model_digest: str) -> list[Row]:
        """The candidate's prompts answered by the last approved model, kept across kills."""
        path = self._out / "control.jsonl"
        if path.is_file():
            return read_rows(path)
        options = self._plan.evaluation
        chunk = 4 * options.chunk  # nothing is decided between them
        answers: list[str] = []
        for start in range(0, len(self._candidate), chunk):
            self._progress(
                "control: answers of the approved model", 0.1 * start / len(self._candidate)
            )
            answers += self._base().generate(
                [row.prompt_messages() for row in self._candidate[start : start + chunk]],
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

    def _vanilla_arm(self, work: Work) -> Trained:
        base = self._base()
        results = ask_arm(self._plan, VANILLA, self._base, base.digest, self._saying(VANILLA, work))
        work.evaluated()
        return Trained(
            arm=Arm.VANILLA,
            results=(results,),
            capability=kept_capability(self._plan, [VANILLA]),
        )

    def _write_rows(self, arms: Sequence[ArmRows]) -> None:
        for arm in arms:
            for seed in self._plan.seeds:
                write_rows(rows_file(self._plan, arm_name(arm.arm.value, seed)), arm.rows)

    def _want(self, arms: Sequence[ArmRows], model_digest: str) -> None:
        """Write the rows of these arms, and have them trained in this order where that goes ahead."""
        self._write_rows(arms)
        if self._ahead is not None:
            for arm in arms:
                for seed in self._plan.seeds:
                    self._ahead.want(arm_name(arm.arm.value, seed), seed, model_digest)

    def _wait(self, name: str, say: Say) -> None:
        if self._ahead is not None:
            self._ahead.wait(name, lambda what, share: say(what, share, 0.0))

    def _stop(self, arm: Arm, trained: Sequence[Trained], model_digest: str) -> EarlyStop | None:
        """Candidate and released may stop, which nothing is compared with."""
        plan = self._plan
        baselines = tuple(one for one in trained if one.arm in {Arm.VANILLA, Arm.CONTROL})
        if arm is Arm.CONTROL or len(baselines) < 2 or len(plan.seeds) > 1:
            return None
        if self._on_cluster or not plan.early_stop:
            return None
        return EarlyStop(
            arm=arm,
            baselines=baselines,
            items=in_order(self._items, plan.decision),
            options=plan.decision,
            known=self._book().of(model_digest),
            least_items=plan.least_items,
            least_templates=plan.least_templates,
        )

    def _book(self) -> SeedBook:
        path = self._plan.seed_spreads
        return SeedBook() if path is None else read_book(path)

    def _trained_arm(
        self, arm: ArmRows, model_digest: str, work: Work, stop: EarlyStop | None
    ) -> Trained:
        adapters: list[AdapterManifest] = []
        results: list[tuple[ItemResult, ...]] = []
        for seed in self._plan.seeds:
            name = arm_name(arm.arm.value, seed)
            say = self._saying(name, work)
            self._wait(name, say)
            made, found = run_arm(
                self._plan, name, seed, model_digest, say, stop=stop, alike=self._alike
            )
            adapters.append(made)
            results.append(found)
            work.trained()
            work.evaluated()
        names = [arm_name(arm.arm.value, seed) for seed in self._plan.seeds]
        return Trained(
            arm=arm.arm,
            rows=arm,
            adapters=tuple(adapters),
            results=tuple(results),
            capability=kept_capability(self._plan, names),
            cut=row_lengths(self._plan.model_dir, arm.rows, self._plan.finetune.max_length).cut,
        )

    def _on_ray(self, arms: Sequence[ArmRows], model_digest: str) -> None:
        """Leave every arm in the folder; what follows finds them there."""
        wanted = [(arm_name(a.arm.value, seed), seed) for a in arms for seed in self._plan.seeds]
        run_arms_on_ray(
            self._plan,
            wanted,
            model_digest,
            lambda count: self._say(f"{count} of {len(wanted)} arms", count / len(wanted)),
        )

    def _saying(self, name: str, work: Work) -> Say:
        trains = 0.0 if name == VANILLA else 1.0
        return lambda what, training, evaluation: self._say(
            f"{name}: {what}", work.at(training=trains * training, evaluation=evaluation)
        )

    def _say(self, what: str, share: float) -> None:
        self._progress(what, 0.1 + 0.88 * share)

    def _report(self, trained: list[Trained], identity: str, model_digest: str) -> ConfirmReport:
        self._progress("report", 0.99)
        plan, trained = self._plan, settled(trained)
        book = self._book()
        arms = tuple(arm_result(one, trained[0]) for one in trained)
        report = ConfirmReport(
            run_id=plan.run_id,
            assistant=plan.assistant,
            model_digest=model_digest,
            control=self._control_name(),
            arms=arms,
            comparisons=comparisons(trained, self._items, plan.decision, book.of(model_digest)),
            seeds=plan.seeds,
            items_digest=items_digest(self._items),
            plan_digest=identity,
            seconds=time.monotonic() - self._started,
            peak_memory_mib=peak_memory_mib() + (self._ahead.peak_mib if self._ahead else 0.0),
            notes=run_notes(plan, self._items, arms, self._candidate, self._influence),
            influence=self._influence,
            firmness=firmnesses(trained, self._items, book.of(model_digest)),
            made_at_s=time.time(),
            model=plan.model_dir.resolve().name,
            control_rows=self._control_rows(trained),
            settings=plan.settings(),
            loss=trained_part(self._candidate[0].kind),
        )
        measured = measured_spreads(trained, self._items)
        write_book(self._out / SPREADS, book.with_measured(model_digest, measured))
        shown = side_by_side(trained, self._items)
        write_durably(self._out / ANSWERS, msgspec.json.encode(shown))
        render_html(report, self._out)
        files = sorted(
            p for p in self._out.rglob("*.json*") if p.name not in {REPORT, "manifest.json"}
        )
        listing = {str(p.relative_to(self._out)): digest(p.read_bytes()) for p in files}
        write_durably(self._out / "manifest.json", msgspec.json.encode(listing))
        write_durably(self._out / REPORT, msgspec.json.format(msgspec.json.encode(report)))
        self._progress("done", 1.0)
        return report

    def _control_rows(self, trained: Sequence[Trained]) -> ControlRows | None:
        rows = next((one.rows for one in trained if one.arm is Arm.CONTROL), None)
        if rows is None or self._plan.control is None:
            return None
        return control_rows(rows.rows, self._candidate)

    def _control_name(self) -> str | None:
        if self._plan.control is None:
            return None
        if self._pool is None:
            return APPROVED_MODEL
        return "source:" + ",".join(sorted(manifest(self._pool).sources))
