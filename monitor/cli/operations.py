"""`candor db`, `keys`, `forget` and `audit`: operations."""

from __future__ import annotations

import getpass
import json
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from evidence import BadInputError
from monitor.cli.acting import AsJson, looking


class KeyKind(StrEnum):
    """What a key is for."""

    PSEUDONYM = "pseudonym"
    SAMPLING = "sampling"
    SIGNING = "signing"
    API = "api"


def register(app: typer.Typer) -> None:
    """Add the families to the command tree."""
    db = typer.Typer(help="The store's schema.", no_args_is_help=True)
    db.command("upgrade")(db_upgrade)
    app.add_typer(db, name="db")
    keys = typer.Typer(help="Secrets and API keys.", no_args_is_help=True)
    keys.command("create")(keys_create)
    keys.command("rotate")(keys_rotate)
    app.add_typer(keys, name="keys")
    audit = typer.Typer(help="The hash-chained audit log.", no_args_is_help=True)
    audit.command("verify")(audit_verify)
    app.add_typer(audit, name="audit")
    app.command("forget")(forget)


def db_upgrade(as_json: AsJson = False) -> None:
    """Bring the store's schema to this version of Candor.

    Example: `CANDOR_DATABASE_URL=postgresql://candor@db/candor candor db upgrade`
    """
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import upgrade  # noqa: PLC0415

    before, after = upgrade(load_settings().database.url)
    done = f"schema {before or 'none'} → {after}" if before != after else f"schema {after}, current"
    _say({"before": before, "after": after}, done, as_json)


def keys_create(  # noqa: PLR0917 -- typer reads options from the signature
    kind: Annotated[KeyKind, typer.Argument(help="What the key is for.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write; by default the one that the settings name.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of an API key.")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="Scope of an API key: ingest, read, review, gate, override, admin."),
    ] = None,
    assistant: Annotated[
        list[str] | None, typer.Option(help="Assistant of an API key; all without.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key that did not exist before.

    Example: `candor keys create api --name ci --scope ingest --assistant shop`
    """
    if kind is KeyKind.API:
        made = _create_api_key(out, name, tuple(scope or ()), tuple(assistant or ()) or None)
    else:
        if name or scope or assistant:
            raise BadInputError("only API keys have --name, --scope and --assistant", "keys create")
        made = _create_secret(kind, out)
    lines = [f"{field}: {value}" for field, value in made.items()]
    if kind is KeyKind.API:
        lines.append("The key is shown this once; only its hash is kept.")
    _say(made, "\n".join(lines), as_json)


def keys_rotate(
    kind: Annotated[KeyKind, typer.Argument(help="What the key is for: pseudonym.")],
    as_json: AsJson = False,
) -> None:
    """Give every user a new pseudonym, with the service stopped and its topics read to the end.

    New names are made of the old ones under a new link of the key, in one transaction, so that raters
    keep what is known of them, tombstones hold, and names that got out match nothing any more.
    An interrupted rotation is finished by running it again. Copy the key file to every process.

    Example: `candor keys rotate pseudonym`
    """
    from monitor.services.rotation import rotate_pseudonyms  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415

    if kind is not KeyKind.PSEUDONYM:
        raise BadInputError(f"a {kind} key is not rotated: make a new one", "keys rotate")
    settings = load_settings()
    done = rotate_pseudonyms(settings.database.url, settings.pseudonym.key_file, now_s=time.time())
    said = f"{done['raters']} raters have new names; {done['file']} has {done['links']} links"
    _say(done, said, as_json)


def forget(
    user: Annotated[str, typer.Argument(help="The user id, as the assistant sends it.")],
    as_json: AsJson = False,
) -> None:
    """Remove a user from every table and leave a tombstone, so that a replay brings nothing back.

    Records that are still in Kafka go with their topic's retention. Files of confirm runs that name
    the user are listed for you to delete: they are evidence of decisions.

    Example: `candor forget 4711`
    """
    from monitor.ingest.keys import load_key  # noqa: PLC0415
    from monitor.services.users import forget_user  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import opened_store  # noqa: PLC0415

    settings = load_settings()
    with opened_store(settings.database) as engine:
        key = load_key(
            settings.pseudonym.key_file, name="pseudonym", database_url=settings.database.url
        )
        done = forget_user(
            engine,
            user,
            key=key,
            input_topics=(settings.kafka.responses_topic, settings.kafka.feedback_topic),
            by=getpass.getuser(),
            now_s=time.time(),
        )
    touched = ", ".join(f"{table} {n}" for table, n in done.rows.items() if n)
    lines = [
        f"forgotten {done.rater}: {touched or 'nothing was held'}",
        *(f"delete {file}: it names them" for file in done.files),
    ]
    if not done.erased:
        lines.append("another process reads the database: forget once more when it has stopped")
    shown = {
        "rater": done.rater,
        "rows": done.rows,
        "files": list(done.files),
        "erased": done.erased,
    }
    _say(shown, "\n".join(lines), as_json)


def audit_verify(
    head: Annotated[
        str | None, typer.Option(help="Hash that an earlier verification printed; must be in it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the audit log's chain; exit 2 when an entry was changed, moved or removed.

    Keep the printed head elsewhere: with `--head` a log that was cut off at its end shows too.

    Example: `candor audit verify --head 3f9c…`
    """
    from monitor.store import audit  # noqa: PLC0415

    with looking() as connection:
        report = audit.verify(connection)
        known = head is None or head == audit.GENESIS or audit.holds(connection, head)
    ok = report.ok and known
    found = {
        "ok": ok,
        "entries": report.entries,
        "head": report.head,
        "first_bad": report.first_bad,
    }
    if ok or as_json:
        _say(found, f"{report.entries} entries fit together, head {report.head}", as_json)
    if not ok:
        problem = report.problem or "the given head is not in the log: its end was cut off"
        raise BadInputError(problem, f"audit_log {report.first_bad or 'end'}")


def _create_secret(kind: KeyKind, out: Path | None) -> dict[str, str]:
    from monitor.ingest.keys import create_key  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from retrain.signing import generate_keypair  # noqa: PLC0415

    settings = load_settings()
    if kind is KeyKind.SIGNING:
        path = out or settings.retrain.signing_key_file or Path("var/signing.pem")
        private, public = generate_keypair(path)
        return {
            "private key": str(private),
            "public key": str(public),
            "setting": f"CANDOR_RETRAIN_SIGNING_KEY_FILE={private}",
        }
    held = settings.pseudonym.key_file if kind is KeyKind.PSEUDONYM else settings.sampling.key_file
    path = out or held or Path(f"var/{kind}.key")
    create_key(path)
    return {"key": str(path), "setting": f"CANDOR_{kind.upper()}_KEY_FILE={path}"}


def _create_api_key(
    out: Path | None, name: str | None, scopes: tuple[str, ...], assistants: tuple[str, ...] | None
) -> dict[str, str]:
    from monitor.http.access import Scope, add_key  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415

    if not name:
        raise BadInputError("an API key needs a name", "--name")
    try:
        known = tuple(Scope(scope) for scope in scopes)
    except ValueError as error:
        raise BadInputError(f"{error}; known are {', '.join(Scope)}", "--scope") from error
    path = out or load_settings().api.keys_file or Path("var/api-keys.json")
    token = add_key(path, name=name, scopes=known, assistants=assistants)
    return {"key": token, "file": str(path), "setting": f"CANDOR_API_KEYS_FILE={path}"}


def _say(value: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(value) + "\n")
    else:
        Console(highlight=False, soft_wrap=True).print(text, markup=False)
