"""`candor neutral`: what is left of each system prompt without its pressure, read and replaced by people."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from evidence import BadInputError
from monitor.cli.acting import ApiKeyFile, AsJson, By, Reason, acting, looking

if TYPE_CHECKING:
    from monitor.services.neutral import Reviewed

Key = Annotated[str, typer.Argument(help="The prompt's key, or how it begins.")]
Assistant = Annotated[str | None, typer.Option(help="Only of this assistant.")]


def register(app: typer.Typer) -> None:
    """Add the family to the command tree."""
    family = typer.Typer(
        help="System prompts without their pressure: what was told is kept, aims, roles, rewards and"
        " orders what to say are left out. Beliefs are read with these. Look at them once, above all"
        " at the refused ones, in whose place three general frames serve, and replace what is wrong.",
        no_args_is_help=True,
    )
    family.command("list")(list_)
    family.command("show")(show)
    family.command("set")(set_)
    app.add_typer(family, name="neutral")


def list_(assistant: Assistant = None, as_json: AsJson = False) -> None:
    """The neutral prompts, refused ones first.

    `facts` counts the clauses that are told in the prompt and how many of them the neutral text keeps.
    States: `auto` was rewritten and checked, `reviewed` is a person's, `refused` is not used.

    Example: `candor neutral list --assistant shop`
    """
    from monitor.services.neutral import SHORT, list_texts  # noqa: PLC0415

    with looking() as connection:
        found = list_texts(connection, assistant)
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    table = Table("state", "facts", "assistant", "neutral text")
    # A key is copied into the next command, so it stays whole however narrow the terminal is.
    table.add_column("key", no_wrap=True, overflow="ignore", min_width=SHORT)
    for one in found:
        said = one.reason if one.state == "refused" else one.neutral
        facts = f"{one.facts_kept} of {one.facts_told}"
        table.add_row(one.state, facts, one.assistant, _line(said), one.key[:SHORT])
    Console(markup=False).print(table)


def show(key: Key, assistant: Assistant = None, as_json: AsJson = False) -> None:
    """One prompt beside its neutral text, with what was left out.

    Example: `candor neutral show 3f0a91c2`
    """
    from monitor.services.neutral import find_text  # noqa: PLC0415

    with looking() as connection:
        found = find_text(connection, key, assistant)
    _print(found, as_json)


def set_(  # noqa: PLR0917 -- typer reads options from the signature
    key: Key,
    file: Annotated[
        Path, typer.Argument(help="File with the neutral text; `-` reads it from stdin.")
    ],
    reason: Reason,
    by: By = None,
    api_key_file: ApiKeyFile = None,
    assistant: Assistant = None,
    as_json: AsJson = False,
) -> None:
    """Replace a neutral text by your own; it is marked reviewed and never rewritten again.

    Keep each fact as the prompt tells it, and leave out what wants a certain answer. What a check of the
    words objects to is printed; your text serves all the same, in running workers within a minute.

    Example: `candor neutral set 3f0a91c2 neutral.txt --by ada --reason "the recall was left out"`
    """
    from monitor.services.neutral import Replacement, replace_text  # noqa: PLC0415

    text = _read(file)
    with acting("review", by, api_key_file) as (connection, actor, _):
        wanted = Replacement(key=key, text=text, reason=reason, assistant=assistant)
        found = replace_text(connection, wanted, actor.person, now_s=time.time(), sees=actor.sees)
    _print(found, as_json)


def _read(file: Path) -> str:
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise BadInputError("the neutral text cannot be read", str(file)) from error
    except UnicodeDecodeError as error:
        raise BadInputError("the neutral text is not UTF-8", str(file)) from error


def _print(found: Reviewed, as_json: bool) -> None:
    from monitor.services.neutral import SHORT  # noqa: PLC0415

    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    console = Console(highlight=False, markup=False)
    console.print(
        f"{found.state}  {found.assistant}  {found.key[:SHORT]}"
        f"  facts kept {found.facts_kept} of {found.facts_told}"
    )
    if found.reason:
        console.print(f"reason: {found.reason}")
    table = Table("prompt", "neutral", show_lines=True, expand=True)
    table.add_row(found.original, found.neutral)
    console.print(table)
    for name, clauses in (("left out", found.removed), ("told, and left out", found.missing)):
        for clause in clauses:
            console.print(f"{name}: {clause}")
    if found.problem:
        console.print(f"the check says: {found.problem}")


def _line(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 90 else f"{plain[:89]}…"
