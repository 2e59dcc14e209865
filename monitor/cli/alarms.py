"""`candor alarms`: list, look at and move alarms; every step is named, reasoned and audited."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from evidence import Alarm, AlarmState
from monitor.cli.acting import ApiKeyFile, AsJson, By, Reason, acting, looking

AlarmId = Annotated[str, typer.Argument(help="The alarm's id, or how it begins.")]


def register(app: typer.Typer) -> None:
    """Add the family to the command tree."""
    family = typer.Typer(
        help="Alarms: open → acknowledged → confirmed or refuted → closed.", no_args_is_help=True
    )
    family.command("list")(list_)
    family.command("show")(show)
    for name, state, means in (
        ("acknowledge", AlarmState.ACKNOWLEDGED, "Say that someone looks at it"),
        ("confirm", AlarmState.CONFIRMED, "An audit or a confirm run agrees"),
        ("refute", AlarmState.REFUTED, "It was looked into and is not so"),
        ("close", AlarmState.CLOSED, "The cause is gone: its detector or check starts anew"),
    ):
        family.command(name, help=_help(name, means))(_step(state))
    app.add_typer(family, name="alarms")


def list_(
    state: Annotated[
        list[AlarmState] | None,
        typer.Option(help="Only of these states; all that are not closed without."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Alarms, newest first.

    Example: `candor alarms list --state open`
    """
    from monitor.store.alarms import list_alarms  # noqa: PLC0415

    wanted = state or [s for s in AlarmState if s is not AlarmState.CLOSED]
    with looking() as connection:
        found = list_alarms(connection, states=wanted)
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    table = Table("state", "scope", "metric", "claim", "opened")
    # An id is copied into the next command, so it stays whole however narrow the terminal is.
    table.add_column("id", no_wrap=True, overflow="ignore", min_width=_id_width(found))
    for alarm in found:
        opened = datetime.fromtimestamp(alarm.opened_at_s, UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(
            alarm.state.value, alarm.scope, alarm.metric, alarm.claim, opened, alarm.alarm_id
        )
    Console().print(table)


def _id_width(found: list[Alarm]) -> int:
    return max((len(alarm.alarm_id) for alarm in found), default=2)


def show(alarm_id: AlarmId, as_json: AsJson = False) -> None:
    """One alarm: its claim, history, and where, since when and how large.

    Example: `candor alarms show 3f0a…`
    """
    from monitor.services.alarms import find_alarm  # noqa: PLC0415
    from monitor.store.alarms import events  # noqa: PLC0415
    from monitor.store.localisations import read_localisation  # noqa: PLC0415

    with looking() as connection:
        alarm = find_alarm(connection, alarm_id)
        history = events(connection, alarm.alarm_id)
        record = read_localisation(connection, alarm.alarm_id)
    found = None if record is None else msgspec.json.decode(record)
    if as_json:
        whole = {"alarm": alarm, "events": history, "localisation": found}
        sys.stdout.write(msgspec.json.encode(whole).decode() + "\n")
        return
    console = Console(highlight=False)
    console.print(f"{alarm.state.value}  {alarm.claim}", markup=False)
    for event in history:
        at = datetime.fromtimestamp(event.at_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
        console.print(f"  {at}  {event.to_state}  {event.by}: {event.reason}", markup=False)
    if found is not None:
        _print_localisation(console, alarm, found)


def _step(target: AlarmState) -> Callable[..., None]:
    def step(
        alarm_id: AlarmId,
        reason: Reason,
        by: By = None,
        api_key_file: ApiKeyFile = None,
        as_json: AsJson = False,
    ) -> None:
        from monitor.services.alarms import find_alarm, transition  # noqa: PLC0415

        with acting("review", by, api_key_file) as (connection, actor, settings):
            alarm = transition(
                connection,
                find_alarm(connection, alarm_id).alarm_id,
                target,
                actor.person,
                reason=reason,
                options=settings.detection,
                now_s=time.time(),
                sees=actor.sees,
            )
        if as_json:
            sys.stdout.write(msgspec.json.encode(alarm).decode() + "\n")
        else:
            Console(highlight=False).print(f"{alarm.state.value}: {alarm.claim}", markup=False)

    return step


def _help(name: str, means: str) -> str:
    return f'{means}.\n\nExample: `candor alarms {name} 3f0a… --by ada --reason "12 of 20 lie"`'


def _print_localisation(console: Console, alarm: Alarm, found: dict[str, Any]) -> None:
    since = alarm.details.get("since")
    if since:
        start, end = (
            datetime.fromtimestamp(since[name], UTC).strftime("%Y-%m-%d %H:%M")
            for name in ("lower_at_s", "upper_at_s")
        )
        console.print(f"since between {start} and {end}", markup=False)
    size = found["size"]
    if size:
        console.print(
            f"mean score after the alarm {size['mean']:.3f} ({size['lower']:.3f}–{size['upper']:.3f}),"
            f" n {size['n']}, reference {alarm.reference or 0.0:.3f}",
            markup=False,
        )
    table = Table("where", "before", "since", "n")
    for kind in ("models", "topics"):
        for part in found[kind]:
            shown = ["—" if part[m] is None else f"{part[m]:.3f}" for m in ("mean_before", "mean")]
            table.add_row(f"{kind[:-1]} {part['name']}", *shown, str(part["n"]))
    console.print(table)
