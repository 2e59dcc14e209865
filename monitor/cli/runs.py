"""`candor retrain runs`: confirm runs asked for, approved and cancelled by people."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from evidence import BadInputError
from monitor.cli.acting import ApiKeyFile, AsJson, By, Reason, acting, looking

if TYPE_CHECKING:
    from monitor.store.confirm_runs import ConfirmRun

RunId = Annotated[str, typer.Argument(help="The run's id.")]


def add_commands(retrain: typer.Typer) -> None:
    """Add the family to `candor retrain`."""
    family = typer.Typer(
        help="Confirm runs: proposed, waiting, running, ended.", no_args_is_help=True
    )
    family.command("list")(list_)
    family.command("start")(start)
    for name, means in (
        ("approve", "Let a proposed run start (`retrain.trigger = propose`)"),
        ("cancel", "End a run that is not done; the launcher stops its job"),
    ):
        example = f'Example: `candor retrain runs {name} run-3f0a… --by ana --reason "incident 7"`'
        family.command(name, help=f"{means}.\n\n{example}")(_step(name))
    retrain.add_typer(family, name="runs")


def list_(
    assistant: Annotated[str | None, typer.Option(help="Of this assistant alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """Confirm runs, oldest request first.

    Example: `candor retrain runs list --assistant support`
    """
    from monitor.store.confirm_runs import runs  # noqa: PLC0415

    with looking() as connection:
        found = [run for run in runs(connection) if assistant in {None, run.assistant}]
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    table = Table("state", "assistant", "alarm", "requested", "error")
    table.add_column("id", no_wrap=True, overflow="ignore")
    for run in found:
        at = datetime.fromtimestamp(run.requested_at_s, UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(
            run.state, run.assistant, run.alarm_id or "—", at, run.error or "", run.run_id
        )
    Console().print(table)


def start(
    assistant: Annotated[str, typer.Option(help="The assistant whose feedback is tried.")],
    reason: Reason,
    by: By = None,
    api_key_file: ApiKeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a run without an alarm; a launcher starts it within the daily budget.

    Where API keys are in use yours needs the scope `gate`.

    Example: `candor retrain runs start --assistant support --by ana --reason "before the retrain"`
    """
    from monitor.services.runs import request  # noqa: PLC0415

    with acting("gate", by, api_key_file) as (connection, actor, _):
        if not actor.sees(assistant):
            raise BadInputError("your key is not for this assistant", assistant)
        run = request(connection, assistant, actor.person, reason=reason, now_s=time.time())
    _say(run, as_json=as_json)


def _step(name: str) -> Callable[..., None]:
    def step(
        run_id: RunId,
        reason: Reason,
        by: By = None,
        api_key_file: ApiKeyFile = None,
        as_json: AsJson = False,
    ) -> None:
        from monitor.services import runs  # noqa: PLC0415

        act = runs.approve if name == "approve" else runs.cancel
        with acting("gate", by, api_key_file) as (connection, actor, _):
            run = act(
                connection,
                run_id,
                actor.person,
                reason=reason,
                now_s=time.time(),
                sees=actor.sees,
            )
        _say(run, as_json=as_json)

    return step


def _say(run: ConfirmRun, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(run).decode() + "\n")
    else:
        Console(highlight=False).print(f"{run.state}: {run.run_id}", markup=False)
