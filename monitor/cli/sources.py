"""`candor sources`: data sets from outside of which training rows may come."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from monitor.cli.acting import ApiKeyFile, AsJson, By, Reason, acting, looking

Name = Annotated[str, typer.Argument(help="The source, as rows name it.")]
Version = Annotated[str, typer.Option(help="Its version, as rows name it.")]


def register(app: typer.Typer) -> None:
    """Add the family to the command tree."""
    family = typer.Typer(
        help="Data sets from outside: rows that claim to come from one are compared with it.",
        no_args_is_help=True,
    )
    family.command("add")(add)
    family.command("list")(list_)
    family.command("remove")(remove)
    app.add_typer(family, name="sources")


def add(  # noqa: PLR0917 -- typer reads options from the signature
    name: Name,
    version: Version,
    file: Annotated[
        Path,
        typer.Option(help="Its rows as they are trained: JSONL, Parquet, or a folder of these."),
    ],
    licence: Annotated[str, typer.Option(help="Its licence.")],
    digest: Annotated[
        str | None,
        typer.Option(help="SHA-256 that its publisher states; another content is refused."),
    ] = None,
    by: By = None,
    api_key_file: ApiKeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Register a data set: its digest, size and licence, and the digest of each of its rows.

    A policy's `trusted_sources` lets rows of it train without a verdict, and only those that are in it.

    Example: `candor sources add dolly --version 2023-04 --file dolly.jsonl --licence CC-BY-SA-3.0 --by ana`
    """
    from monitor.services.sources import NewSource  # noqa: PLC0415
    from monitor.services.sources import register as register_source  # noqa: PLC0415
    from retrain.sources import read_source  # noqa: PLC0415

    wanted = NewSource(
        name=name, version=version, content=read_source(file), licence=licence, digest=digest
    )
    with acting("gate", by, api_key_file) as (connection, actor, _):
        made = register_source(connection, wanted, actor.person, now_s=time.time())
    if as_json:
        sys.stdout.write(msgspec.json.encode(made).decode() + "\n")
        return
    said = f"{made.name}@{made.version}: {made.rows} rows, SHA-256 {made.digest}"
    Console(highlight=False).print(said, markup=False)


def list_(as_json: AsJson = False) -> None:
    """The registered data sets.

    Example: `candor sources list`
    """
    from monitor.store.sources import all_sources  # noqa: PLC0415

    with looking() as connection:
        found = all_sources(connection)
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    table = Table("source", "rows", "licence", "by", "since", "SHA-256")
    for one in found:
        since = datetime.fromtimestamp(one.registered_at_s, UTC).strftime("%Y-%m-%d")
        name = f"{one.name}@{one.version}"
        table.add_row(name, str(one.rows), one.licence, one.registered_by, since, one.digest[:16])
    Console(markup=False).print(table)


def remove(  # noqa: PLR0917
    name: Name,
    version: Version,
    reason: Reason,
    by: By = None,
    api_key_file: ApiKeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Take a data set out: rows that claim to come from it are quarantined from then on.

    Example: `candor sources remove dolly --version 2023-04 --by ana --reason "licence withdrawn"`
    """
    from monitor.services.sources import remove as remove_source  # noqa: PLC0415

    with acting("gate", by, api_key_file) as (connection, actor, _):
        remove_source(connection, name, version, actor.person, reason=reason, now_s=time.time())
    if as_json:
        sys.stdout.write(msgspec.json.encode({"removed": f"{name}@{version}"}).decode() + "\n")
    else:
        Console(highlight=False).print(f"removed: {name}@{version}", markup=False)
