"""`candor gate lineage`: from a signal to rows and decisions, and back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from monitor.cli.acting import AsJson, looking


def add_commands(gate: typer.Typer) -> None:
    """Add the command to the family `gate`."""
    gate.command("lineage")(lineage)


def lineage(
    rows: Annotated[Path, typer.Argument(help="Rows that were asked about, or released ones.")],
    feedback: Annotated[str | None, typer.Option(help="Rows that this signal made.")] = None,
    response: Annotated[str | None, typer.Option(help="Rows of this response.")] = None,
    decision: Annotated[
        str | None, typer.Option(help="Rows that may be trained on this decision.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Which rows a signal or response made and what was decided about them; or which a decision released.

    A decision names rows by their digest: the file is what it was made about. `--json` prints a line for each row.

    Example: `candor gate lineage rows.jsonl --feedback f-17`
    """
    from candor_guard.rows import iter_rows  # noqa: PLC0415
    from monitor.services.lineage import Sought, trace  # noqa: PLC0415

    sought = Sought(feedback_id=feedback, response_id=response, decision_id=decision)
    table = Table("row", "digest", "response", "feedback", "rater", "decisions")
    with looking() as connection:
        for row in trace(connection, lambda: iter_rows(rows, keep_unreadable=True), sought):
            if as_json:
                sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
                continue
            said = ", ".join(
                f"{use.decision_id[:8]} {'trains' if use.may_train else 'does not'}"
                f"{' (revoked)' if use.revoked else ''}"
                for use in row.decisions
            )
            names = (row.response_id or "", row.feedback_id or "", row.rater or "")
            table.add_row(str(row.index), row.digest[:16], *names, said)
    if not as_json:
        Console(markup=False).print(table)
