"""`candor gate verify` and `attest`: what whoever trains or deploys asks, with the public key alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from monitor.cli.acting import AsJson

ATTEST_CODES = {"no_stamp": 13, "revoked": 14}
"""Exit codes of `gate attest` for weights that may be the right ones, but are not released; else 2."""


def verify(  # noqa: PLR0917
    decision: Annotated[Path, typer.Argument(help="The decision's envelope.")],
    rows: Annotated[Path, typer.Argument(help="The rows: released ones, or all asked about.")],
    key: Annotated[Path, typer.Option(help="Public key of the gate, PEM.")],
    revoked_file: Annotated[
        Path | None, typer.Option("--revoked", help="JSON list of revoked decisions.")
    ] = None,
    assistant: Annotated[
        str | None, typer.Option(help="Refuse a decision about another assistant.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Refuse a decision that names another base model.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check signature, expiry, revocation and that the rows are those released: exit 0, else 2.

    What no option names is not checked, and the answer says so (`not_checked`).

    Example: `candor gate verify decision.json rows.jsonl --key gate.pub --assistant support`
    """
    from candor_guard import ANY_ASSISTANT, ANY_MODEL, NOT_CHECKED, load_guarded  # noqa: PLC0415

    guarded = load_guarded(
        rows,
        decision,
        key,
        assistant=assistant or ANY_ASSISTANT,
        model=model or ANY_MODEL,
        revoked=revoked_file or NOT_CHECKED,
    )
    found = {
        "valid": True,
        "decision_id": guarded.decision.decision_id,
        "answer": guarded.decision.answer.value,
        "overridden": guarded.decision.overridden,
        "rows": len(guarded),
        "fingerprint": guarded.fingerprint,
        "expires_at_s": guarded.decision.expires_at_s,
        "not_checked": guarded.waived,
    }
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    kind = "overridden" if guarded.decision.overridden else guarded.decision.answer.value
    Console(highlight=False).print(
        f"valid: {len(guarded)} rows may be trained ({kind}), fingerprint {guarded.fingerprint}"
    )
    for words in guarded.waived:
        Console(highlight=False).print(f"not checked: {words}")


def attest(
    model: Annotated[Path, typer.Argument(help="Folder of the trained weights.")],
    key: Annotated[Path, typer.Option(help="Public key of the gate, PEM.")],
    revoked_file: Annotated[
        Path | None, typer.Option("--revoked", help="JSON list of revoked decisions.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether weights were trained on released rows: exit 0, 13 without a stamp, 14 revoked, else 2.

    The stamp is `candor-attestation.json`, which the guard writes beside checkpoints and saved models.
    It holds the signed decision and the digests of the weights: other weights under it exit 2.

    Example: `candor gate attest model --key gate.pub --revoked revoked.json`
    """
    from candor_guard import NOT_CHECKED, RefusedError  # noqa: PLC0415
    from candor_guard import attest as attested  # noqa: PLC0415
    from candor_guard.guarded import revoked_ids  # noqa: PLC0415

    revoked = () if revoked_file is None else revoked_ids(revoked_file)
    try:
        found = attested(model, key, revoked=revoked)
    except RefusedError as error:
        if error.code not in ATTEST_CODES:
            raise
        if as_json:
            answer = {"valid": False, "code": error.code, "what": error.what}
            sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
        sys.stderr.write(f"candor: {error}\n")
        raise typer.Exit(ATTEST_CODES[error.code]) from error
    not_checked = found.stamp.not_checked
    if revoked_file is None:
        not_checked = (*not_checked, f"{NOT_CHECKED.words} since")
    if as_json:
        told = {"valid": True, **msgspec.to_builtins(found.stamp), "not_checked": not_checked}
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
        return
    stamp = found.stamp
    Console(highlight=False).print(
        f"valid: trained on {stamp.rows} of {stamp.released_rows} rows released for "
        f"{stamp.assistant} by decision {stamp.decision_id}"
    )
    for words in not_checked:
        Console(highlight=False).print(f"not checked: {words}")
