"""`candor alarms`: list, look at and move alarms; every step is named, reasoned and audited."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from evidence import Alarm, AlarmState

if TYPE_CHECKING:
    from sqlalchemy import Connection

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AlarmId = Annotated[str, typer.Argument(help="The alarm's id.")]
By = Annotated[str, typer.Option(help="Who takes the step.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the alarm's history and the audit log.")]


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
    with _reading() as connection:
        found = list_alarms(connection, states=wanted)
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    table = Table("id", "state", "scope", "metric", "claim", "opened")
    for alarm in found:
        opened = datetime.fromtimestamp(alarm.opened_at_s, UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(
            alarm.alarm_id, alarm.state.value, alarm.scope, alarm.metric, alarm.claim, opened
        )
    Console().print(table)


def show(alarm_id: AlarmId, as_json: AsJson = False) -> None:
    """One alarm: its claim, history, and where, since when and how large.

    Example: `candor alarms show 3f0a…`
    """
    from monitor.store.alarms import events, get_alarm  # noqa: PLC0415
    from monitor.store.localisations import read_localisation  # noqa: PLC0415

    with _reading() as connection:
        alarm = get_alarm(connection, alarm_id)
        history = events(connection, alarm_id)
        record = read_localisation(connection, alarm_id)
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
    def step(alarm_id: AlarmId, by: By, reason: Reason, as_json: AsJson = False) -> None:
        from monitor.services.closing import release  # noqa: PLC0415
        from monitor.settings import load_settings  # noqa: PLC0415
        from monitor.store import open_store  # noqa: PLC0415
        from monitor.store.alarms import transition  # noqa: PLC0415
        from monitor.store.outbox import ALARMS_TOPIC  # noqa: PLC0415

        settings = load_settings()
        engine, now_s = open_store(settings.database, create=False), time.time()
        with engine.begin() as connection:
            alarm = transition(
                connection, alarm_id, target, by=by, reason=reason, at_s=now_s, topic=ALARMS_TOPIC
            )
            if alarm.state is AlarmState.CLOSED:
                release(connection, alarm, settings.detection, now_s)
        engine.dispose()
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


@contextmanager
def _reading() -> Iterator[Connection]:
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import open_store, reading  # noqa: PLC0415

    engine = open_store(load_settings().database, create=False)
    try:
        with reading(engine) as connection:
            yield connection
    finally:
        engine.dispose()
