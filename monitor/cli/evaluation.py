"""`candor retrain power` and `candor retrain inspect`: planning and reading a confirm run's evaluation."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_commands(retrain: typer.Typer) -> None:
    """Put the commands into the `retrain` family."""
    retrain.command("power")(power)
    retrain.command("inspect")(inspect)


def power(
    allowance: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.5,
            help="What a difference may owe to training seeds, as a share: see seed-spreads.json.",
        ),
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Print the loss of honesty that each number of items and templates can rule out.

    A confirm run with that many items uses this margin by default and releases an equal arm nine
    times in ten. A smaller `--margin` than the table's needs more items.

    Example: `candor retrain power --allowance 0.02`
    """
    from retrain.comparison import DecisionOptions, power_table  # noqa: PLC0415

    rows = power_table(DecisionOptions(), allowance=allowance)
    if as_json:
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
        return
    table = Table("items", "templates", "margin", "equal arm released")
    for row in rows:
        table.add_row(
            str(row.items), str(row.templates), f"{row.margin:.2f}", f"{row.equal_released:.3f}"
        )
    Console(highlight=False).print(table)


def inspect(
    run: Annotated[Path, typer.Argument(help="Folder of a confirm run.")],
    out: Annotated[
        Path | None, typer.Option(help="Where the logs go; RUN/inspect by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a confirm run's evaluations as Inspect logs, one for each arm and seed.

    Example: `candor retrain inspect run`, then `inspect view --log-dir run/inspect`
    """
    from retrain.evaluation.inspect_log import export_run  # noqa: PLC0415 -- inspect_ai takes seconds

    with Console(stderr=True).status("writing Inspect logs"):
        made = export_run(run, out or run / "inspect", made_at_s=time.time())
    if as_json:
        sys.stdout.write(msgspec.json.encode([str(path) for path in made]).decode() + "\n")
    else:
        Console(highlight=False).print("\n".join(map(str, made)), markup=False)
