"""`candor gate verify`: what whoever trains asks, with the public key alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from monitor.cli.acting import AsJson


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
