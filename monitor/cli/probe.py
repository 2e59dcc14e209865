"""`candor probe`: fit an activation probe to labelled transcripts, and show what an artefact is."""

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
    from probes.activation.training import Example


def register(app: typer.Typer) -> None:
    """Add `candor probe fit` and `candor probe show`."""
    family = typer.Typer(help="Train and describe activation probes.", no_args_is_help=True)
    family.command("fit")(fit)
    family.command("show")(show)
    app.add_typer(family, name="probe")


def fit(  # noqa: PLR0917  (typer reads options from the signature)
    train: Annotated[Path, typer.Argument(help="Transcripts, one JSON object a line.")],
    out: Annotated[Path, typer.Option(help="Folder for the artefact.")],
    labels: Annotated[str, typer.Option(help="Field with true for a lie.")] = "did_lie",
    kind: Annotated[str, typer.Option(help="Field that splits the figures.")] = "category",
    layers: Annotated[str, typer.Option(help="Blocks to choose from, 1 = the first.")] = "12,16,20",
    source: Annotated[str, typer.Option(help="Where the transcripts are from.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Fit a probe with scenarios kept whole: the figures are of scenarios that were left out.

    Example: `candor probe fit train.jsonl --labels did_lie --out probe/`
    """
    from monitor.settings import Settings  # noqa: PLC0415
    from probes.activation.workflow import fit_artefact  # noqa: PLC0415
    from probes.models.local import LocalModel  # noqa: PLC0415
    from probes.models.packaged import packaged_model_dir  # noqa: PLC0415

    examples = _labelled(train, labels, kind)
    try:
        blocks = tuple(sorted({int(part) for part in layers.split(",")}))
    except ValueError as error:
        raise BadInputError("layers are numbers such as 12,16,20", "--layers") from error
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading", total=1.0)

        def report(what: str, share: float) -> None:
            bar.update(task, description=what, completed=share)

        directory = Settings().reader.model
        folder = Path(directory) if directory else packaged_model_dir(report)
        model = LocalModel.load(folder)
        card = fit_artefact(model, examples, out, layers=blocks, source=source, progress=report)
    _print(card, out, as_json)


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


def _labelled(path: Path, field: str, kind: str) -> list[Example]:
    """Labelled transcripts; a line that is broken or has no label is an error that names it."""
    from probes.activation.training import Example  # noqa: PLC0415 -- loads scikit-learn
    from probes.transcripts import read_records  # noqa: PLC0415

    if not path.is_file():
        raise BadInputError("no such file", str(path))
    examples = []
    with path.open("rb") as file:
        for record in read_records(file, str(path)):
            if record.transcript is None:
                raise BadInputError(record.error or "not a transcript", record.where)
            label = record.fields.get(field)
            if not isinstance(label, bool | int) or label not in {0, 1}:
                raise BadInputError(f"`{field}` is not true or false", record.where)
            name = str(record.fields.get(kind) or "")
            examples.append(Example(record.transcript, bool(label), name))
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
