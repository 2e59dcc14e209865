"""Who acts, and on which store: what every command that changes something begins with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from monitor.services.person import Actor
    from monitor.settings import Settings

By = Annotated[
    str | None,
    typer.Option(help="Who acts; with API keys in use the key's name is recorded too."),
]
ApiKeyFile = Annotated[
    Path | None, typer.Option(help="File with your API key, where such keys are in use.")
]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit log.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def acting(
    scope: str, by: str | None, api_key_file: Path | None
) -> Iterator[tuple[Connection, Actor, Settings]]:
    """One transaction on the store by a person who may."""
    from monitor.services.person import acting as actor_of  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import opened_store  # noqa: PLC0415

    settings = load_settings()
    actor = actor_of(settings.api.keys_file, scope, by, api_key_file)
    with opened_store(settings.database) as engine, engine.begin() as connection:
        yield connection, actor, settings


@contextmanager
def looking() -> Iterator[Connection]:
    """A look into the store of the settings; one that is not there is an error."""
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import opened_store, reading  # noqa: PLC0415

    with opened_store(load_settings().database) as engine, reading(engine) as connection:
        yield connection
