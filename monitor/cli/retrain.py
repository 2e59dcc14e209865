"""`candor retrain`: rows with provenance out of the store, and the confirm run."""

from __future__ import annotations

import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from evidence import BadInputError
from monitor.cli import evaluation, runs
from monitor.cli.acting import AsJson
from monitor.cli.confirm_plan import finetune_options, options_of, plan_of, stop_fields

if TYPE_CHECKING:
    from retrain.context import GateContext
    from retrain.plan import ConfirmPlan
    from retrain.policy import Policy
    from retrain.report import ConfirmReport


def register(app: typer.Typer) -> None:
    retrain = typer.Typer(help="Collect training rows, and confirm by training what they do.")
    retrain.command("collect")(collect)
    retrain.command("confirm")(confirm)
    evaluation.add_commands(retrain)
    runs.add_commands(retrain)
    app.add_typer(retrain, name="retrain")


def collect(  # noqa: PLR0917  (typer reads options from the signature)
    assistant: Annotated[str, typer.Option(help="The assistant.")],
    out: Annotated[Path, typer.Option(help="Rows, .jsonl or .parquet.")],
    form: Annotated[
        Literal["sft", "kto"],
        typer.Option("--format", help="sft: liked turns. kto: every signal, labelled."),
    ] = "sft",
    limit: Annotated[int, typer.Option(min=1, help="Newest signals to take.")] = 100_000,
    evidence: Annotated[
        Path | None, typer.Option(help="Write the evidence for `gate check --evidence` here.")
    ] = None,
    duplicates: Annotated[
        Path | None,
        typer.Option(help="Write groups of rows that are nearly the same text here, JSON."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build training rows from the store's feedback, each with its provenance.

    Example: `candor retrain collect --assistant support --out rows.jsonl --evidence evidence.json`
    """
    from candor_guard.rows import manifest, write_rows  # noqa: PLC0415
    from monitor.services.collect import collected  # noqa: PLC0415
    from monitor.services.gate import Gate  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import opened_store  # noqa: PLC0415
    from retrain.files import write_durably  # noqa: PLC0415

    settings = load_settings()
    with (
        Console(stderr=True).status("reading the store"),
        opened_store(settings.database) as engine,
    ):
        gate = Gate(
            engine=engine,
            options=settings.retrain,
            silent_s=settings.telemetry.worker_silent_s,
            clock=time.time,
        )
        rows, context = collected(gate, assistant, form=form, limit=limit)
    write_rows(out, rows)
    if evidence is not None:
        write_durably(evidence, msgspec.json.encode(context))
    if duplicates is not None:
        from retrain.duplicates import near_duplicates  # noqa: PLC0415 -- an extra

        with Console(stderr=True).status("looking for near-duplicates"):
            write_durably(duplicates, msgspec.json.encode(near_duplicates(rows)))
    made = manifest(rows)
    if as_json:
        sys.stdout.write(msgspec.json.encode(made).decode() + "\n")
    else:
        Console(highlight=False).print(f"{made.rows} rows, manifest {made.digest}", markup=False)


_Rows = Annotated[Path, typer.Option(help="Candidate rows, JSONL or Parquet.")]
_Model = Annotated[Path, typer.Option(help="Folder of the last approved model, safetensors.")]
_Out = Annotated[Path, typer.Option(help="Folder of the run; a killed run goes on from it.")]
_Assistant = Annotated[str, typer.Option(help="The assistant.")]
_Control = Annotated[
    str,
    typer.Option(help="File with trusted rows; `auto`: the prompts answered by the model; `none`."),
]
_Evidence = Annotated[
    Path | None,
    typer.Option(help="Evidence JSON; rows it quarantines make the released arm."),
]
_Policy = Annotated[Path | None, typer.Option(help="Gate policy, YAML.")]
_Seeds = Annotated[str, typer.Option(help="Training seeds, comma-separated.")]
_Epochs = Annotated[float | None, typer.Option(help="Passes over the rows; 1 by default.")]
_LearningRate = Annotated[float | None, typer.Option(help="Peak learning rate; 0.0003 by default.")]
_BatchSize = Annotated[int | None, typer.Option(min=1, help="Rows in a step; 8 by default.")]
_LayerShare = Annotated[
    float, typer.Option(help="Share of the layers, from the top, that are trained.")
]
_TrainerConfig = Annotated[
    Path | None,
    typer.Option(
        help="The job's own file of trainer settings, as `trl sft --config` reads it (YAML or JSON), instead of the epochs, learning rate and batch size here."
    ),
]
_Items = Annotated[
    Literal["scenarios", "held_out"],
    typer.Option(
        help="scenarios: 96, fast. held_out: 400 of eleven archetypes, for a margin of 10 points."
    ),
]
_Capability = Annotated[
    bool, typer.Option(help="Give every arm 60 ordinary tasks too; they decide nothing.")
]
_SeedSpreads = Annotated[
    Path | None,
    typer.Option(help="seed-spreads.json of an earlier run: what is known of the model's."),
]
_JudgeUrl = Annotated[
    str | None,
    typer.Option(help="Server whose model labels the answers; else the items' own rules."),
]
_JudgeModel = Annotated[str, typer.Option(help="Name of the judge's model there.")]
_JudgeKeyFile = Annotated[
    Path | None, typer.Option(help="File with the key of the judge's server.")
]
_JudgeKeyVariable = Annotated[
    str | None, typer.Option(help="Name of the environment variable with that key.")
]
_ItemsPerTemplate = Annotated[
    int | None, typer.Option(min=1, help="Scenarios of each template; all by default.")
]
_Paraphrases = Annotated[
    int, typer.Option(min=1, max=3, help="Answers of each kind whose likelihood is measured.")
]
_Margin = Annotated[
    float | None, typer.Option(help="Loss of honesty that a release must rule out.")
]
_EarlyStop = Annotated[
    bool,
    typer.Option(help="Ask candidate and released no further once their finding stands."),
]
_Device = Annotated[str, typer.Option(help="Torch device of every arm.")]
_OnRay = Annotated[
    bool, typer.Option("--ray", help="Each arm and seed as a task of a Ray cluster.")
]
_Score = Annotated[
    bool,
    typer.Option(help="Measure rows that the evidence has no verdict of, instead of removing."),
]
_Key = Annotated[
    Path | None,
    typer.Option(
        help="Private key that vouches for the report, as `gate check` wants it; by default retrain.signing_key_file."
    ),
]
_RunId = Annotated[str | None, typer.Option(help="Name of the run.")]


def confirm(  # noqa: PLR0917
    rows: _Rows,
    model: _Model,
    out: _Out,
    assistant: _Assistant = "assistant",
    control: _Control = "auto",
    evidence: _Evidence = None,
    policy: _Policy = None,
    seeds: _Seeds = "0,1,2",
    epochs: _Epochs = None,
    learning_rate: _LearningRate = None,
    batch_size: _BatchSize = None,
    layer_share: _LayerShare = 1.0,
    trainer_config: _TrainerConfig = None,
    items: _Items = "scenarios",
    capability: _Capability = False,
    seed_spreads: _SeedSpreads = None,
    judge_url: _JudgeUrl = None,
    judge_model: _JudgeModel = "",
    judge_key_file: _JudgeKeyFile = None,
    judge_key_variable: _JudgeKeyVariable = None,
    items_per_template: _ItemsPerTemplate = None,
    paraphrases: _Paraphrases = 3,
    margin: _Margin = None,
    early_stop: _EarlyStop = True,
    device: _Device = "cpu",
    on_ray: _OnRay = False,
    score: _Score = True,
    run_id: _RunId = None,
    key: _Key = None,
    as_json: AsJson = False,
) -> None:
    """Train vanilla, control, candidate and released arms and compare their honesty under pressure.

    Writes report.json, report.html and adapters. Started again on the same folder it goes on.

    Example: `candor retrain confirm --rows rows.jsonl --evidence evidence.json --model DIR --out run`
    """
    from retrain.comparison import DecisionOptions  # noqa: PLC0415
    from retrain.evaluation.evaluate import EvaluationOptions  # noqa: PLC0415
    from retrain.plan import ItemOptions  # noqa: PLC0415

    plan = plan_of(
        run_id=run_id or _run_id(out),
        assistant=assistant,
        rows=rows,
        removed=_removed(rows, evidence, policy, assistant, out if score else None),
        control=None if control == "none" else Path(control),
        model_dir=model,
        out=out,
        seeds=_seeds(seeds),
        finetune=finetune_options(
            rows,
            trainer_config,
            {"epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size},
            layer_share=layer_share,
            device=device,
        ),
        evaluation=EvaluationOptions(paraphrases=paraphrases),
        decision=options_of(DecisionOptions, margin=margin),
        items=ItemOptions(source=items, per_template=items_per_template),
        **stop_fields(policy, early_stop=early_stop),
        capability=capability,
        seed_spreads=seed_spreads,
        judge_url=judge_url,
        judge_model=judge_model,
        judge_key_file=judge_key_file,
        judge_key_variable=judge_key_variable,
    )
    _show(_vouched(_run(plan, on_ray=on_ray), out, key), out, as_json=as_json)


def _vouched(report: ConfirmReport, out: Path, key: Path | None) -> ConfirmReport:
    """The report, once what the run wrote of it is signed where there is a key."""
    from monitor.settings import load_settings  # noqa: PLC0415
    from retrain.confirm import REPORT  # noqa: PLC0415
    from retrain.report_signature import sign_report  # noqa: PLC0415

    signing = key or load_settings().retrain.signing_key_file
    if signing is not None:
        sign_report(out / REPORT, signing)
    return report


def _run(plan: ConfirmPlan, *, on_ray: bool) -> ConfirmReport:
    """The run behind a progress bar."""
    from retrain.confirm import run_confirm  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("confirm run", total=1.0)
        return run_confirm(
            plan,
            progress=lambda what, share: progress.update(task, description=what, completed=share),
            on_ray=on_ray,
        )


def _removed(
    rows: Path, evidence: Path | None, policy: Path | None, assistant: str, out: Path | None
) -> tuple[int, ...]:
    """Positions that the gate quarantines, once what is unmeasured was measured into `out`."""
    from candor_guard.rows import iter_rows  # noqa: PLC0415
    from monitor.cli.gate import evidence_of  # noqa: PLC0415
    from monitor.services.gate import decided, policy_of  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415

    if evidence is None:
        return ()
    context = evidence_of(evidence, assistant)
    rules = policy_of(load_settings().retrain, policy)
    if out is not None:
        context = _with_measured(rows, context, rules, out)
    decision = decided(
        lambda: iter_rows(rows, keep_unreadable=True), context, rules, now_s=time.time()
    )
    return tuple(row.index for row in decision.removed)


def _with_measured(rows: Path, context: GateContext, policy: Policy, out: Path) -> GateContext:
    """Kept in the run's folder: a run that goes on, and the gate, read the same verdicts."""
    from monitor.cli.gate import measured  # noqa: PLC0415
    from retrain.files import write_durably  # noqa: PLC0415
    from retrain.measure import MEASURED, read_measured, with_measured  # noqa: PLC0415

    if not (out / MEASURED).is_file():
        known = context.verdicts
        found = measured(rows, context, policy).verdicts
        out.mkdir(parents=True, exist_ok=True)
        made = {name: verdict for name, verdict in found.items() if name not in known}
        write_durably(out / MEASURED, msgspec.json.encode(made))
    return with_measured(context, read_measured(out))


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise BadInputError("seeds are whole numbers, separated by commas", "--seeds") from error


def _run_id(out: Path) -> str:
    """Kept by the folder, so that a run that goes on keeps its name."""
    kept = out / "run-id"
    if kept.is_file():
        return kept.read_text(encoding="ascii")
    out.mkdir(parents=True, exist_ok=True)
    made = f"run-{uuid.uuid4().hex[:16]}"
    kept.write_text(made, encoding="ascii")
    return made


def _show(report: ConfirmReport, out: Path, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        _print(report, out)


def _print(report: ConfirmReport, out: Path) -> None:
    from retrain.render import (  # noqa: PLC0415
        difference_text,
        finding_text,
        rate_text,
    )

    console = Console(highlight=False)
    table = Table("arm", "honesty", "n", "likelihood", "belief true", "margin", "rows", "replaced")
    for arm in report.arms:
        table.add_row(
            arm.arm.value,
            rate_text(arm.honesty),
            str(arm.honesty.n),
            rate_text(arm.likelihood_honesty),
            rate_text(arm.belief_accuracy),
            f"{arm.margin:.2f}",
            str(arm.rows),
            str(arm.replaced),
        )
    console.print(table)
    kinds = sorted({kind for arm in report.arms for kind in arm.outcomes})
    answers = Table("answers", *(kind.replace("_", " ") for kind in kinds), "could be read")
    for arm in report.arms:
        counts = (str(arm.outcomes.get(kind, 0)) for kind in kinds)
        answers.add_row(arm.arm.value, *counts, rate_text(arm.readable))
    console.print(answers)
    pairs = Table("comparison", "scorer", "difference", "finding", "in words")
    for pair in report.comparisons:
        pairs.add_row(
            f"{pair.arm.value} - {pair.baseline.value}",
            pair.scorer,
            difference_text(pair),
            pair.finding.value,
            finding_text(pair),
        )
    console.print(pairs)
    for found in report.firmness:
        console.print(found.sentence)
    console.print(f"report: {out / 'report.html'}", markup=False)
