"""`candor reference`: what each stratum is compared with, and moving it by name."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from evidence import BadInputError
from monitor.cli.acting import ApiKeyFile, AsJson, By, Reason, acting


def register(app: typer.Typer) -> None:
    """Add the family to the command tree."""
    family = typer.Typer(
        help="What each stratum is compared with; moved by a person or a release alone.",
        no_args_is_help=True,
    )
    family.command("show")(show)
    family.command("move")(move)
    app.add_typer(family, name="reference")


def show(as_json: AsJson = False) -> None:
    """The reference of every stratum and metric, with where it came from.

    Example: `candor reference show`
    """
    from monitor.detect.records import decode_state  # noqa: PLC0415
    from monitor.detect.stratum import status  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import open_store, reading  # noqa: PLC0415
    from monitor.store.status import detector_states  # noqa: PLC0415

    engine = open_store(load_settings().database, create=False)
    with reading(engine) as connection:
        stored = detector_states(connection)
    engine.dispose()
    found = [
        {
            "stratum": stratum,
            "metric": metric,
            "phase": entry["phase"],
            "reference": entry.get("reference"),
            "source": entry.get("reference_source"),
            "evaluator_version": entry.get("evaluator_version"),
        }
        for stratum, text in sorted(stored)
        for metric, entry in status(decode_state(text)).items()
    ]
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    table = Table("stratum", "metric", "phase", "reference", "source")
    for row in found:
        value = "—" if row["reference"] is None else f"{row['reference']:.3f}"
        source = str(row["source"] or "—")
        table.add_row(str(row["stratum"]), str(row["metric"]), str(row["phase"]), value, source)
    Console().print(table)


def move(  # noqa: PLR0917 -- typer reads options from the signature
    stratum: Annotated[str, typer.Argument(help="`assistant/segment/stakes`.")],
    reason: Reason,
    by: By = None,
    api_key_file: ApiKeyFile = None,
    value: Annotated[
        list[str] | None, typer.Option(help="`lie=0.12`, for each metric to move.")
    ] = None,
    from_last: Annotated[
        int | None, typer.Option(help="Upper bounds of this many newest verdicts instead.", min=20)
    ] = None,
    decision: Annotated[
        str | None, typer.Option(help="The gate decision whose release it follows.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a stratum with a new reference from now on. Open alarms stay open.

    Example: `candor reference move shop/refunds/normal --from-last 500 --by ada --reason "new tone, audited"`
    """
    from monitor.services.references import Move, move_reference  # noqa: PLC0415

    with acting("review", by, api_key_file) as (connection, actor, settings):
        wanted = Move(
            stratum=stratum,
            values=_values(value or []),
            from_last=from_last,
            by=actor.person,
            reason=reason,
            decision_id=decision,
        )
        moved = move_reference(
            connection, wanted, options=settings.detection, now_s=time.time(), sees=actor.sees
        )
    if as_json:
        sys.stdout.write(msgspec.json.encode(moved).decode() + "\n")
        return
    for item in moved:
        Console(highlight=False).print(f"{item.metric}: {item.value:.4f} ({item.source})")


def _values(given: list[str]) -> dict[str, float]:
    found = {}
    for text in given:
        metric, separator, number = text.partition("=")
        try:
            found[metric] = float(number)
        except ValueError as error:
            raise BadInputError("a value is written as metric=number", text) from error
        if not separator:
            raise BadInputError("a value is written as metric=number", text)
    return found
