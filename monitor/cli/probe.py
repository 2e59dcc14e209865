"""`candor probe`: fit an activation probe to labelled transcripts, and show what an artefact is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add `candor probe fit` and `candor probe show`."""
    family = typer.Typer(help="Train and describe activation probes.", no_args_is_help=True)
    family.command("fit")(fit)
    family.command("show")(show)
    app.add_typer(family, name="probe")


def fit(
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
    from evidence import BadInputError
    from monitor.cli.progress import model_progress
    from monitor.cli.transcripts import read_labelled
    from monitor.settings import Settings
    from probes.activation.workflow import fit_artefact
    from probes.models.local import LocalModel
    from probes.models.packaged import packaged_model_dir

    examples = read_labelled(train, labels, kind)
    try:
        blocks = tuple(sorted({int(part) for part in layers.split(",")}))
    except ValueError as error:
        raise BadInputError("layers are numbers such as 12,16,20", "--layers") from error
    with model_progress() as progress:
        directory = Settings().reader.model
        folder = Path(directory) if directory else packaged_model_dir(progress)
        card = fit_artefact(
            LocalModel.load(folder), examples, out, layers=blocks, source=source, progress=progress
        )
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
    from probes.activation.artefact import DEFAULT, load

    folder = directory or DEFAULT
    _print(load(folder).card, folder, as_json)


def _print(card: object, folder: Path, as_json: bool) -> None:
    import msgspec
    from rich.console import Console
    from rich.table import Table

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
