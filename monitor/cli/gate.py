"""`candor gate`: may these rows be trained, and is this decision about these rows."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from evidence import BadInputError, GateAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from retrain.context import GateContext
    from retrain.gate import GateDecision, Policy
    from retrain.rows import Row

EXIT_CODES = {
    GateAnswer.ALLOW: 0,
    GateAnswer.QUARANTINE: 10,
    GateAnswer.HOLD: 11,
    GateAnswer.BLOCK: 12,
}
_STORE = "store"

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    gate = typer.Typer(help="Decide whether rows may be trained, and verify decisions.")
    gate.command("check")(check)
    gate.command("verify")(verify)
    gate.command("override")(override)
    gate.command("revoke")(revoke)
    gate.command("revoked")(revoked)
    app.add_typer(gate, name="gate")


def check(  # noqa: PLR0917  (typer reads options from the signature)
    rows: Annotated[Path, typer.Argument(help="Training rows, JSONL or Parquet.")],
    assistant: Annotated[str, typer.Option(help="The assistant that the rows would train.")],
    policy: Annotated[Path | None, typer.Option(help="Gate policy, YAML.")] = None,
    evidence: Annotated[
        str, typer.Option(help="`store`, or a JSON file with the evidence.")
    ] = _STORE,
    confirm: Annotated[
        Path | None, typer.Option(help="report.json of the confirm run of these rows.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Private key (ed25519, PEM) that signs the decision.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the decision's envelope here.")] = None,
    released: Annotated[
        Path | None, typer.Option(help="Write the rows that are not quarantined here.")
    ] = None,
    score: Annotated[
        bool,
        typer.Option(help="Measure rows that have no verdict first; without it they are removed."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Decide about rows: exit 0 allow, 10 quarantine, 11 hold, 12 block.

    Any failure exits 1, 2 or 3, never 0. The reason of every quarantined row is in the JSON. With
    the store's evidence the decision is recorded there, announced on `honesty.gates` and the
    webhook, and 100 random rows of a release go to the review queue.

    Example: `candor gate check rows.jsonl --assistant support --key gate.pem --out decision.json`
    """
    from retrain.duplicates import surplus_rows  # noqa: PLC0415
    from retrain.files import write_durably  # noqa: PLC0415
    from retrain.gate import Policy, decide, read_policy  # noqa: PLC0415
    from retrain.report import read_report  # noqa: PLC0415
    from retrain.rows import iter_rows  # noqa: PLC0415
    from retrain.signing import sign, unsigned  # noqa: PLC0415

    context = _context(evidence, assistant)
    if confirm is not None:
        context = msgspec.structs.replace(context, confirm=read_report(confirm))
    rules = Policy() if policy is None else read_policy(policy)
    if score:
        context = measured(rows, context, rules)
    surplus = surplus_rows(iter_rows(rows), rules.max_near_duplicates)
    decision = decide(_counted(rows), context, rules, now_s=time.time(), surplus=surplus)
    envelope = unsigned(decision) if key is None else sign(decision, key)
    if evidence == _STORE:
        _record(decision, envelope, rows)
    if out is not None:
        write_durably(out, envelope.encode())
    if released is not None:
        _write_released(rows, decision, released)
    if as_json:
        sys.stdout.write(msgspec.json.encode(decision).decode() + "\n")
    else:
        _print(decision)
    raise typer.Exit(EXIT_CODES[decision.answer])


def verify(
    decision: Annotated[Path, typer.Argument(help="The decision's envelope.")],
    rows: Annotated[Path, typer.Argument(help="The rows: released ones, or all asked about.")],
    key: Annotated[Path, typer.Option(help="Public key of the gate, PEM.")],
    revoked_file: Annotated[
        Path | None, typer.Option("--revoked", help="JSON list of revoked decisions.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check signature, expiry, revocation and that the rows are those released: exit 0, else 2.

    Example: `candor gate verify decision.json rows.jsonl --key gate.pub`
    """
    from retrain.guard import load_guarded  # noqa: PLC0415

    guarded = load_guarded(rows, decision, key=key, revoked=revoked_file or ())
    found = {
        "valid": True,
        "decision_id": guarded.decision.decision_id,
        "answer": guarded.decision.answer.value,
        "overridden": guarded.decision.overridden,
        "rows": len(guarded),
        "fingerprint": guarded.fingerprint,
        "expires_at_s": guarded.decision.expires_at_s,
    }
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    kind = "overridden" if guarded.decision.overridden else guarded.decision.answer.value
    Console(highlight=False).print(
        f"valid: {len(guarded)} rows may be trained ({kind}), fingerprint {guarded.fingerprint}"
    )


def override(  # noqa: PLR0917
    decision_id: Annotated[str, typer.Argument(help="The decision that did not release.")],
    requested_by: Annotated[str, typer.Option(help="Who asked for the training.")],
    reason: Annotated[str, typer.Option(help="Why it may go ahead; kept in the audit log.")],
    hours: Annotated[float, typer.Option(min=0.01, help="How long the override may be used.")],
    out: Annotated[Path, typer.Option(help="Write the overridden decision's envelope here.")],
    key: Annotated[
        Path | None,
        typer.Option(help="Private key that signs; by default retrain.signing_key_file."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="Who overrides; with API keys in use the key's name is recorded too."),
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help="File with your API key, where such keys are in use.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let all rows of a decision be trained although the gate did not release them.

    A named person's act, never the requester's. Where API keys are in use the person's key needs the
    scope `override`. It is recorded as overridden, never as allow, announced and audited; guards accept it until it ends or is revoked, and show it as overridden.

    Example: `candor gate override 3f0a… --by ana --requested-by bo --hours 4 --reason "incident 7" --out d.json`
    """
    from monitor.services.person import person_with_scope  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import open_store  # noqa: PLC0415
    from monitor.store.decisions import override_decision  # noqa: PLC0415
    from retrain.files import write_durably  # noqa: PLC0415

    settings = load_settings()
    person = person_with_scope(settings.api.keys_file, "override", by, api_key_file)
    signing = key or settings.retrain.signing_key_file
    if signing is None:
        raise BadInputError("an override is signed: name the private key", "--key")
    now_s = time.time()
    engine = open_store(settings.database, create=False)
    with engine.begin() as connection:
        made, envelope = override_decision(
            connection,
            decision_id,
            by=person,
            requested_by=requested_by,
            reason=reason,
            until_s=now_s + hours * 3600,
            now_s=now_s,
            longest_s=settings.retrain.override_max_s,
            key_file=signing,
        )
    engine.dispose()
    write_durably(out, envelope.encode())
    if as_json:
        sys.stdout.write(msgspec.json.encode(made).decode() + "\n")
    else:
        _print(made)


def revoke(
    decision_id: Annotated[str, typer.Argument(help="The decision's id.")],
    by: Annotated[str, typer.Option(help="Who revokes it.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")],
    as_json: AsJson = False,
) -> None:
    """Withdraw a decision in the store; guards that read the list of `gate revoked` refuse it.

    Example: `candor gate revoke 3f0a… --by ana --reason "judge was broken"`
    """
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import open_store  # noqa: PLC0415
    from monitor.store.decisions import revoke as withdraw  # noqa: PLC0415

    engine = open_store(load_settings().database, create=False)
    with engine.begin() as connection:
        withdraw(connection, decision_id, by=by, reason=reason, at_s=time.time())
    engine.dispose()
    if as_json:
        sys.stdout.write(msgspec.json.encode({"revoked": decision_id}).decode() + "\n")
    else:
        Console(highlight=False).print(f"revoked: {decision_id}", markup=False)


def revoked(
    out: Annotated[Path | None, typer.Option(help="Write the list here, else print it.")] = None,
    as_json: AsJson = False,  # noqa: ARG001 -- the list is JSON either way
) -> None:
    """The JSON list of revoked decisions that `gate verify` and `load_guarded` read.

    Example: `candor gate revoked --out revoked.json`
    """
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import open_store, reading  # noqa: PLC0415
    from monitor.store.decisions import revoked_ids  # noqa: PLC0415
    from retrain.files import write_durably  # noqa: PLC0415

    engine = open_store(load_settings().database, create=False)
    with reading(engine) as connection:
        ids = revoked_ids(connection)
    engine.dispose()
    data = msgspec.json.encode(ids)
    if out is None:
        sys.stdout.write(data.decode() + "\n")
    else:
        write_durably(out, data)


def _context(evidence: str, assistant: str) -> GateContext:
    from retrain.context import read_context  # noqa: PLC0415

    if evidence == _STORE:
        return _store_context(assistant)
    context = read_context(Path(evidence))
    if context.assistant != assistant:
        raise BadInputError(f"evidence is about {context.assistant!r}", evidence)
    return context


def _store_context(assistant: str) -> GateContext:
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import open_store, reading  # noqa: PLC0415
    from monitor.store.confirm_runs import newest_context  # noqa: PLC0415

    engine = open_store(load_settings().database, create=False)
    with reading(engine) as connection:
        context = newest_context(connection, assistant, now_s=time.time())
    engine.dispose()
    return context


def _record(decision: GateDecision, envelope: str, rows: Path) -> None:
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import open_store  # noqa: PLC0415
    from monitor.store.decisions import record  # noqa: PLC0415

    engine = open_store(load_settings().database, create=False)
    with engine.begin() as connection:
        record(connection, decision, envelope, released=_kept(rows, decision))
    engine.dispose()


def measured(rows: Path, context: GateContext, policy: Policy) -> GateContext:
    """The context with verdicts for rows that lacked only that, by the panel of the settings."""
    from monitor.cli.scorer import open_scorer  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from retrain.measure import measure, unmeasured, with_measured  # noqa: PLC0415
    from retrain.rows import iter_rows  # noqa: PLC0415

    wanted = unmeasured(iter_rows(rows), context, policy)
    if not wanted:
        return context
    panel = open_scorer(load_settings())
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"measuring {len(wanted)} responses", total=1.0)
        made = measure(wanted, panel, lambda share: progress.update(task, completed=share))
    return with_measured(context, made)


def _counted(path: Path) -> Iterator[Row]:
    """The file's rows, with a count on stderr while they are read."""
    from retrain.rows import iter_rows  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("rows")
        for count, row in enumerate(iter_rows(path), 1):
            yield row
            if count % 10_000 == 0:
                progress.update(task, description=f"{count:,} rows")


def _write_released(rows: Path, decision: GateDecision, out: Path) -> None:
    from retrain.rows import write_rows  # noqa: PLC0415

    write_rows(out, _kept(rows, decision))


def _kept(rows: Path, decision: GateDecision) -> Iterator[Row]:
    from retrain.rows import iter_rows  # noqa: PLC0415

    gone = {row.index for row in decision.removed}
    return (row for i, row in enumerate(iter_rows(rows)) if i not in gone)


def _print(decision: GateDecision) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]{decision.answer.value}[/bold]  {', '.join(decision.reasons)}")
    if decision.override is not None:
        console.print(
            f"[bold]overridden[/bold] by {decision.override.by}, asked for by "
            f"{decision.override.requested_by}"
        )
    console.print(
        f"{decision.all_rows.rows} rows, {decision.released.rows} not quarantined, "
        f"{decision.all_rows.rows - decision.released.rows} removed (expected good rows among them: "
        f"{decision.good_rows_lost:.1f})"
    )
    if decision.removed_by_reason:
        table = Table("reason", "rows")
        for reason, count in decision.removed_by_reason.items():
            table.add_row(reason, str(count))
        console.print(table)
    if decision.subject_digest is not None:
        console.print(f"fingerprint {decision.subject_digest}")
