"""`candor probe`: fit an activation probe or a fusion to labelled transcripts, and show an artefact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from evidence import BadInputError

if TYPE_CHECKING:
    from monitor.settings import ReaderOptions
    from probes.activation.training import Example
    from probes.models.chat import Progress as Report
    from probes.models.states import StateReader


def register(app: typer.Typer) -> None:
    """Add `candor probe fit`, `candor probe show` and `candor probe fuse`."""
    family = typer.Typer(
        help="Train and describe activation probes; fit how probes are combined.",
        no_args_is_help=True,
    )
    family.command("fit")(fit)
    family.command("show")(show)
    family.command("fuse")(fuse)
    app.add_typer(family, name="probe")


def fit(
    *,
    train: Annotated[
        Path | None,
        typer.Argument(help="Labelled transcripts, in any format that `candor score` reads."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the artefact.")],
    labels: Annotated[str, typer.Option(help="Field with true for a lie.")] = "did_lie",
    kind: Annotated[str, typer.Option(help="Field that splits the figures.")] = "category",
    layers: Annotated[str, typer.Option(help="Blocks to choose from, 1 = the first.")] = "12,16,20",
    source: Annotated[str, typer.Option(help="Where the transcripts are from.")] = "",
    own: Annotated[
        bool,
        typer.Option(help="Instead of transcripts: pairs that the reader itself writes."),
    ] = False,
    pairs: Annotated[int, typer.Option(min=20, help="How many pairs, with --own.")] = 40,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Fit a probe with scenarios kept whole: the figures are of scenarios that were left out.

    Beside the artefact lies fusion.json, the calibrated use of it alone (CANDOR_READER_FUSION_FILE).

    With --own the reader writes its training data: replies in which it was asked for the truth, and
    asked to deceive, checked by rules. It must be a model that follows such orders.

    Example: `candor probe fit train.jsonl --labels did_lie --out probe/`
    """
    from monitor.settings import load_settings  # noqa: PLC0415
    from probes.activation.own import fit_own  # noqa: PLC0415
    from probes.activation.workflow import fit_artefact  # noqa: PLC0415

    if out.exists() and not out.is_dir():
        raise BadInputError("is no folder", str(out))
    if own == (train is not None):
        raise BadInputError("either labelled transcripts or --own", "candor probe fit")
    if own and source:
        raise BadInputError("with --own the card says itself what it was made from", "--source")
    examples = labelled(train, labels, kind) if train is not None else []
    try:
        blocks = tuple(sorted({int(part) for part in layers.split(",")}))
    except ValueError as error:
        raise BadInputError("layers are numbers such as 12,16,20", "--layers") from error
    err = Console(stderr=True)
    with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("loading", total=1.0)

        def report(what: str, share: float) -> None:
            bar.update(task, description=what, completed=share)

        model = _reader(load_settings().reader, report)
        if blocks[0] < 1 or blocks[-1] > model.n_layers:
            raise BadInputError(f"{model.name} has blocks 1 to {model.n_layers}", "--layers")
        if own:
            card = fit_own(model, out, pairs=pairs, layers=blocks, progress=report).card
        else:
            card = fit_artefact(model, examples, out, layers=blocks, source=source, progress=report)
    _print(card, out, as_json)


def _reader(options: ReaderOptions, report: Report) -> StateReader:
    """The reader that the settings name: a folder on a device, or a server."""
    from probes.activation.opening import open_reader  # noqa: PLC0415 -- loads torch

    return open_reader(
        Path(options.model) if options.model else None,
        device=options.device,
        url=options.url,
        served=options.served_model,
        key_file=options.api_key_file,
        progress=report,
    )


def show(
    directory: Annotated[
        Path | None, typer.Argument(help="Artefact folder; without it the shipped one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Describe a probe artefact after checking its checksums.

    Example: `candor probe show probe/`
    """
    from probes.activation.artefact import DEFAULT, load  # noqa: PLC0415

    folder = directory or DEFAULT
    _print(load(folder).card, folder, as_json)


def fuse(
    transcripts: Annotated[Path, typer.Argument(help="The labelled transcripts that were scored.")],
    verdicts: Annotated[Path, typer.Argument(help="What `candor score --all` wrote for them.")],
    out: Annotated[Path, typer.Option(help="Fusion artefact to write, JSON.")],
    labels: Annotated[str, typer.Option(help="Field with true for a lie.")] = "did_lie",
    as_json: Annotated[bool, typer.Option("--json", help="Print the artefact as JSON.")] = False,
) -> None:
    """Fit how the probes are combined, for every set of them that ran on at least 100 responses.

    Use transcripts that the activation probe was not trained on.

    Example: `candor probe fuse held.jsonl verdicts.jsonl --out fusion.json`
    """
    from candor_guard.reading import read_objects  # noqa: PLC0415
    from candor_guard.reading.packing import check_file  # noqa: PLC0415
    from probes.fusion_training import fit_fusion  # noqa: PLC0415
    from probes.grouping import scenario_group  # noqa: PLC0415

    check_file(verdicts)
    examples: dict[str, Example] = {}
    for example in labelled(transcripts, labels, ""):
        if examples.setdefault(example.transcript.id, example) is not example:
            raise BadInputError(f"the id {example.transcript.id!r} stands twice", str(transcripts))
    scores, truth, groups = [], [], []
    versions: dict[str, str] = {}
    for where, row in read_objects(verdicts):
        try:
            scored = msgspec.convert(row, _Scored)
        except msgspec.ValidationError as error:
            raise BadInputError(f"not a verdict: {error}", where) from error
        if scored.id not in examples:
            continue  # named above: it has no label or no response
        for name, measured in scored.probes.items():
            if versions.setdefault(name, measured.version) != measured.version:
                raise BadInputError(f"`{name}` is of several versions", where)
        scores.append({k: p.p_lie for k, p in scored.probes.items() if p.p_lie is not None})
        truth.append(examples[scored.id].label)
        groups.append(scenario_group(examples[scored.id].transcript))
    data = msgspec.to_builtins(fit_fusion(scores, truth, groups, versions))
    try:
        out.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"cannot be written: {error.strerror}", str(out)) from error
    if as_json:
        typer.echo(json.dumps(data))
        return
    table = Table("probes", "n", "AUROC", "calibration error", "weights")
    for name, row in data["subsets"].items():
        weights = ", ".join(f"{k} {w:.2f}" for k, w in row["weights"].items())
        off = f"{row['calibration_error']:.3f} (≤ {row['calibration_error_upper']:.3f})"
        table.add_row(name, str(row["n"]), f"{row['auroc']:.3f}", off, weights)
    Console().print(table)


class _Probed(msgspec.Struct):
    version: str = ""
    p_lie: float | None = None


class _Scored(msgspec.Struct):
    id: str
    probes: dict[str, _Probed] = {}


def labelled(path: Path, field: str, kind: str) -> list[Example]:
    """Labelled transcripts; a line without messages or label is skipped and named on stderr."""
    from candor_guard.reading.values import label_of  # noqa: PLC0415
    from probes.activation.training import Example  # noqa: PLC0415 -- loads scikit-learn
    from probes.transcripts import open_records  # noqa: PLC0415

    examples = []
    for record in open_records(path):
        label = label_of(record.fields.get(field))
        if record.transcript is None:
            typer.echo(f"candor: {record.where}: skipped: {record.error}", err=True)
            continue
        if label is None:
            typer.echo(f"candor: {record.where}: skipped: no `{field}` true or false", err=True)
            continue
        name = str(record.fields.get(kind) or "")
        examples.append(Example(record.transcript, label, name))
    if not examples:
        raise BadInputError(f"no line has a transcript and `{field}`", str(path))
    return examples


def _print(card: object, folder: Path, as_json: bool) -> None:
    data = msgspec.to_builtins(card)
    hashes = data.pop("group_hashes")
    data["n_scenarios"] = len(hashes)
    if as_json:
        typer.echo(json.dumps(data))
        return
    console = Console()
    console.print(
        f"[bold]{folder}[/bold]: reader {data['reader']}, layer {data['layer']},"
        f" {data['n_train']} transcripts of {len(hashes)} scenarios,"
        f" {data['prevalence']:.0%} lies. {data['source']}"
    )
    if data["noise_floor"] is not None:
        console.print(
            f"The same text alone or in a batch: p_lie within {data['noise_floor']:.1g}"
            f" over {data['noise_n']} transcripts."
        )
    table = Table("left out", "n", "AUROC", "AUROC, other style", "calibration error")
    for name, row in {**data["quality"], **data["by_kind"]}.items():
        table.add_row(
            name,
            str(row["n"]),
            f"{row['auroc']:.3f}",
            f"{row['auroc_restyled']:.3f}",
            f"{row['calibration_error']:.3f}",
        )
    console.print(table)
