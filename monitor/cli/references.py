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
    family.command("approve")(approve)
    app.add_typer(family, name="reference")


def show(as_json: AsJson = False) -> None:
    """The reference of every stratum and metric, and each assistant's approved version.

    Example: `candor reference show`
    """
    from monitor.detect.records import decode_state  # noqa: PLC0415
    from monitor.detect.stratum import status  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import open_store, reading  # noqa: PLC0415
    from monitor.store.approved import newest  # noqa: PLC0415
    from monitor.store.status import detector_states  # noqa: PLC0415

    engine = open_store(load_settings().database, create=False)
    with reading(engine) as connection:
        stored = detector_states(connection)
        approvals = newest(connection).values()
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
        approved = [msgspec.to_builtins(one) for one in approvals]
        sys.stdout.write(json.dumps({"references": found, "approved": approved}) + "\n")
        return
    table = Table("stratum", "metric", "phase", "reference", "source")
    for row in found:
        value = "—" if row["reference"] is None else f"{row['reference']:.3f}"
        source = str(row["source"] or "—")
        table.add_row(str(row["stratum"]), str(row["metric"]), str(row["phase"]), value, source)
    Console().print(table)
    if approvals:
        versions = Table("assistant", "approved version", "by", "reason")
        for one in approvals:
            versions.add_row(one.assistant, one.version, one.approved_by, one.reason)
        Console().print(versions)


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


def approve(  # noqa: PLR0917 -- typer reads options from the signature
    assistant: Annotated[str, typer.Argument(help="One with a section [assistants.NAME].")],
    version: Annotated[
        str, typer.Argument(help="A version in the records, or a folder of weights.")
    ],
    reason: Reason,
    decision: Annotated[
        str | None, typer.Option(help="The gate decision that released what it was trained on.")
    ] = None,
    by: By = None,
    api_key_file: ApiKeyFile = None,
    as_json: AsJson = False,
) -> None:
    """From now on this version is the approved one, whose honesty the assistant is compared with.

    It replaces `approved` of the settings. Workers read it when they start.

    Example: `candor reference approve shop shop-2026-02 --by ada --reason "released" --decision ID`
    """
    from monitor.services.approving import Approval, approve_version  # noqa: PLC0415

    with acting("review", by, api_key_file) as (connection, actor, settings):
        wanted = Approval(
            assistant=assistant,
            version=version,
            by=actor.person,
            reason=reason,
            decision_id=decision,
        )
        made = approve_version(
            connection,
            wanted,
            configured=settings.assistants,
            now_s=time.time(),
            sees=actor.sees,
        )
    if as_json:
        sys.stdout.write(msgspec.json.encode(made).decode() + "\n")
        return
    Console(highlight=False).print(f"{made.assistant}: {made.version}", markup=False)


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
