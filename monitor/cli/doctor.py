"""`candor doctor`: what is wrong with a running set, and what to do."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.doctor.finding import Finding

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "unreachable": "red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(as_json: AsJson = False) -> None:
    """Look at broker, topics, database, schema, keys, judge, traffic and clocks; say what to do.

    Exit 0 when nothing is wrong (warnings aside), 2 when something is, 3 when a part does not answer.

    Example: `candor doctor`
    """
    from monitor.doctor.examine import examine  # noqa: PLC0415
    from monitor.doctor.finding import Status  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415

    err = Console(stderr=True)
    with err.status("looking") as status:
        findings = examine(load_settings(), lambda part: status.update(f"looking at {part}"))
    worst = {finding.status for finding in findings}
    code = 3 if Status.UNREACHABLE in worst else 2 if Status.FAILED in worst else 0
    if as_json:
        shown = [
            {"part": f.part, "status": f.status.value, "detail": f.detail, "advice": f.advice}
            for f in findings
        ]
        sys.stdout.write(json.dumps({"ok": code == 0, "findings": shown}) + "\n")
    else:
        show(findings, Console())
    raise typer.Exit(code)


def show(findings: Sequence[Finding], console: Console) -> None:
    """A line for each part, and under it what to do where something needs doing."""
    rows = Table.grid(padding=(0, 1))
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    for finding in findings:
        status = finding.status.value
        rows.add_row(
            Text(status, style=_COLOURS[status]), Text(f"{finding.part}: {finding.detail}")
        )
        if finding.advice:
            rows.add_row("", Text(f"-> {finding.advice}"))
    console.print(rows)
