"""`candor gate`: may these rows be trained, and is this decision about these rows."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from evidence import BadInputError, GateAnswer
from monitor.cli import lineage
from monitor.cli.acting import ApiKeyFile, AsJson, By, Reason, acting
from monitor.cli.gate_attest import attest
from monitor.cli.gate_verify import verify

if TYPE_CHECKING:
    from monitor.services.gate import Answer, Measure
    from retrain.context import Coverage, GateContext
    from retrain.gate import GateDecision
    from retrain.policy import Policy
    from retrain.report import ConfirmReport

EXIT_CODES = {
    GateAnswer.ALLOW: 0,
    GateAnswer.QUARANTINE: 10,
    GateAnswer.HOLD: 11,
    GateAnswer.BLOCK: 12,
}
_STORE = "store"


def register(app: typer.Typer) -> None:
    gate = typer.Typer(help="Decide whether rows may be trained, and verify decisions.")
    gate.command("check")(check)
    gate.command("verify")(verify)
    gate.command("attest")(attest)
    gate.command("override")(override)
    gate.command("revoke")(revoke)
    gate.command("revoked")(revoked)
    lineage.add_commands(gate)
    app.add_typer(gate, name="gate")


def check(  # noqa: PLR0917  (typer reads options from the signature)
    rows: Annotated[Path, typer.Argument(help="Training rows, JSONL or Parquet.")],
    assistant: Annotated[str, typer.Option(help="The assistant that the rows would train.")],
    policy: Annotated[
        Path | None, typer.Option(help="Gate policy, YAML; by default retrain.policy_file.")
    ] = None,
    evidence: Annotated[
        str, typer.Option(help="`store`, or a JSON file with the evidence.")
    ] = _STORE,
    confirm: Annotated[
        Path | None,
        typer.Option(
            help="report.json of the confirm run of these rows. A signed answer needs its report.dsse.json beside it."
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            help="Private key (ed25519, PEM) that signs; by default retrain.signing_key_file."
        ),
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
    from candor_guard.reading.packing import check_out  # noqa: PLC0415
    from candor_guard.rows import iter_rows, kept_rows, write_rows  # noqa: PLC0415
    from retrain.files import write_durably  # noqa: PLC0415

    for file in (out, released):
        if file is not None:
            check_out(rows, file)
    answer = _ask(
        rows,
        assistant,
        evidence,
        policy_file=policy,
        key_file=key,
        confirm=confirm,
        measure=partial(measured, rows) if score else None,
    )
    decision = answer.decision
    if out is not None:
        write_durably(out, answer.envelope.encode())
    if released is not None:
        write_rows(
            released, kept_rows(iter_rows(rows, keep_unreadable=True), decision.removed_bitmap())
        )
    if as_json:
        sys.stdout.write(msgspec.json.encode(decision).decode() + "\n")
    else:
        _print(decision)
    raise typer.Exit(EXIT_CODES[decision.answer])


def override(  # noqa: PLR0917
    decision_id: Annotated[str, typer.Argument(help="The decision that did not release.")],
    requested_by: Annotated[str, typer.Option(help="Who asked for the training.")],
    reason: Reason,
    hours: Annotated[float, typer.Option(min=0.01, help="How long the override may be used.")],
    out: Annotated[Path, typer.Option(help="Write the overridden decision's envelope here.")],
    key: Annotated[
        Path | None,
        typer.Option(help="Private key that signs; by default retrain.signing_key_file."),
    ] = None,
    by: By = None,
    api_key_file: ApiKeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Let all rows of a decision be trained although the gate did not release them.

    A named person's act, never the requester's. Where API keys are in use the person's key needs the
    scope `override`. It is recorded as overridden, never as allow, announced and audited; guards accept it until it ends or is revoked, and show it as overridden.

    Example: `candor gate override 3f0a… --by ana --requested-by bo --hours 4 --reason "incident 7" --out d.json`
    """
    from monitor.services.decisions import OverrideOrder, override_decision  # noqa: PLC0415
    from retrain.files import write_durably  # noqa: PLC0415

    now_s = time.time()
    with acting("override", by, api_key_file) as (connection, actor, settings):
        signing = key or settings.retrain.signing_key_file
        if signing is None:
            raise BadInputError("an override is signed: name the private key", "--key")
        order = OverrideOrder(
            decision_id=decision_id,
            requested_by=requested_by,
            reason=reason,
            until_s=now_s + hours * 3600,
        )
        made, envelope = override_decision(
            connection,
            order,
            actor.person,
            now_s=now_s,
            longest_s=settings.retrain.override_max_s,
            key_file=signing,
            sees=actor.sees,
        )
    write_durably(out, envelope.encode())
    if as_json:
        sys.stdout.write(msgspec.json.encode(made).decode() + "\n")
    else:
        _print(made)


def revoke(
    decision_id: Annotated[str, typer.Argument(help="The decision's id.")],
    reason: Reason,
    by: By = None,
    api_key_file: ApiKeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw a decision in the store; guards that read the list of `gate revoked` refuse it.

    Where API keys are in use yours needs the scope `gate`.

    Example: `candor gate revoke 3f0a… --by ana --reason "judge was broken"`
    """
    from monitor.services.decisions import revoke as withdraw  # noqa: PLC0415

    with acting("gate", by, api_key_file) as (connection, actor, _):
        withdraw(
            connection,
            decision_id,
            actor.person,
            reason=reason,
            now_s=time.time(),
            sees=actor.sees,
        )
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


def _ask(
    rows: Path,
    assistant: str,
    evidence: str,
    *,
    policy_file: Path | None,
    key_file: Path | None,
    confirm: Path | None,
    measure: Measure | None,
) -> Answer:
    """The gate's answer on the store's evidence, which is recorded, or on that of a file, which is not."""
    from candor_guard.rows import iter_provenance, iter_rows  # noqa: PLC0415
    from monitor.services.evidence import named_in  # noqa: PLC0415
    from monitor.services.gate import Answer, Gate, decided, policy_of, signed  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import opened_store  # noqa: PLC0415
    from retrain.report_signature import UNSIGNED  # noqa: PLC0415

    settings = load_settings()
    signing = key_file or settings.retrain.signing_key_file
    report, fault = _given(confirm, signing)
    if evidence == _STORE:
        with opened_store(settings.database) as engine:
            gate = Gate(
                engine=engine,
                options=settings.retrain,
                silent_s=settings.telemetry.worker_silent_s,
                clock=time.time,
            )
            return gate.ask(
                lambda: iter_rows(rows, keep_unreadable=True),
                assistant,
                policy_file=policy_file,
                key_file=key_file,
                confirm=report,
                confirm_fault=fault,
                measure=measure,
                named=named_in(iter_provenance(rows)),
            )
    policy = policy_of(settings.retrain, policy_file)
    context = evidence_of(Path(evidence), assistant)
    if report is not None:
        context = msgspec.structs.replace(context, confirm=report, confirm_fault=fault)
    elif signing is not None and context.confirm is not None:
        # Nobody vouches for what a file of evidence says a run found.
        context = msgspec.structs.replace(context, confirm_fault=UNSIGNED)
    if measure is not None:
        context = measure(context, policy)
    made = decided(
        lambda: iter_rows(rows, keep_unreadable=True), context, policy, now_s=time.time()
    )
    return Answer(made, signed(made, settings.retrain, key_file))


def _given(confirm: Path | None, signing: Path | None) -> tuple[ConfirmReport | None, str | None]:
    """The named report, and why an answer that is signed with this key may not rest on it."""
    from retrain.report import read_report  # noqa: PLC0415
    from retrain.report_signature import report_fault  # noqa: PLC0415

    if confirm is None:
        return None, None
    return read_report(confirm), None if signing is None else report_fault(confirm, signing)


def evidence_of(path: Path, assistant: str) -> GateContext:
    """The evidence in a file. Raises BadInputError for that of another assistant."""
    from retrain.context import read_context  # noqa: PLC0415

    context = read_context(path)
    if context.assistant != assistant:
        raise BadInputError(f"evidence is about {context.assistant!r}", str(path))
    return context


def measured(rows: Path, context: GateContext, policy: Policy) -> GateContext:
    """The context with verdicts for rows that lacked only that, by the panel of the settings."""
    from candor_guard.rows import iter_rows  # noqa: PLC0415
    from monitor.cli.scorer import open_scorer  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from retrain.measure import measure, unmeasured, with_measured  # noqa: PLC0415

    wanted = unmeasured(iter_rows(rows, keep_unreadable=True), context, policy)
    if not wanted:
        return context
    panel = open_scorer(load_settings())
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"measuring {len(wanted)} responses", total=1.0)
        made = measure(wanted, panel, lambda share: progress.update(task, completed=share))
    return with_measured(context, made)


def _print(decision: GateDecision) -> None:
    from retrain.report import ruled_out  # noqa: PLC0415

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
    if decision.coverage is not None:
        console.print(_covered(decision.coverage))
    if decision.margin is not None:
        console.print(f"the confirm run rules out {ruled_out(decision.margin)}")
    if decision.subject_digest is not None:
        console.print(f"fingerprint {decision.subject_digest}")


def _covered(found: Coverage) -> str:
    since, until = (
        datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
        for at in (found.from_s, found.to_s)
    )
    lag = "unknown" if found.lag_records is None else str(found.lag_records)
    return (
        f"covered {since} to {until}: {found.verdicts} of {found.responses} sampled responses have a "
        f"verdict, {found.workers} workers, {lag} records behind, {found.dead_letters} dead letters"
    )
