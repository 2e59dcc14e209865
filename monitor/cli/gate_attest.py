"""`candor gate attest`: were these weights trained on released rows, and who says so."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console

from evidence import BadInputError
from monitor.cli.acting import ApiKeyFile, AsJson, By, acting

if TYPE_CHECKING:
    from candor_guard.stamp import Attested

ATTEST_CODES = {"no_stamp": 13, "no_signature": 13, "revoked": 14}
"""Exit codes of `gate attest` for weights that may be the right ones, but are not released; else 2."""


class WeightsPredicateName(StrEnum):
    """Names of `retrain.weights.WeightsPredicate`."""

    WEIGHTS = "weights"
    VSA = "vsa"


def attest(  # noqa: PLR0917
    model: Annotated[Path, typer.Argument(help="Folder of the trained weights.")],
    key: Annotated[Path, typer.Option(help="Public key of the gate, PEM.")],
    revoked_file: Annotated[
        Path | None, typer.Option("--revoked", help="JSON list of revoked decisions.")
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            help="Sign what was found with this private key: ed25519 writes candor-weights.dsse.json, one on P-256, P-384 or P-521 model.sig (OpenSSF Model Signing)."
        ),
    ] = None,
    signed_by: Annotated[
        Path | None,
        typer.Option(
            help="Public key of who released the weights: their signature is verified, too."
        ),
    ] = None,
    predicate: Annotated[
        WeightsPredicateName,
        typer.Option(help="What candor-weights.dsse.json states: all, or SLSA's summary (vsa)."),
    ] = WeightsPredicateName.WEIGHTS,
    register: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="ASSISTANT VERSION",
            help="Record in the store that this version, by its name in the records, has these weights.",
        ),
    ] = None,
    by: By = None,
    api_key_file: ApiKeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether weights were trained on released rows: exit 0, 13 without a stamp or signature, 14 revoked, else 2.

    The stamp is `candor-attestation.json`, which the guard writes beside checkpoints and saved models.
    It holds the signed decision and the digests of the weights: other weights under it exit 2. Registering needs the scope
    `gate` where API keys are in use, and is audited.

    Example: `candor gate attest model --key gate.pub --revoked revoked.json`
    """
    from candor_guard import RefusedError  # noqa: PLC0415

    try:
        found = _attested(model, key, revoked_file)
        signature = None if signed_by is None else _verified_signature(model, found, signed_by)
        if register is not None:
            _registered(found, register, by, api_key_file)
    except RefusedError as error:
        if error.code not in ATTEST_CODES:
            raise
        if as_json:
            answer = {"valid": False, "code": error.code, "what": error.what}
            sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
        sys.stderr.write(f"candor: {error}\n")
        raise typer.Exit(ATTEST_CODES[error.code]) from error
    written = None if sign is None else str(_signed(model, found, sign, predicate))
    done = {"signature": signature, "registered": register, "written": written}
    _show(found, done, checked_revoked=revoked_file is not None, as_json=as_json)


def _attested(model: Path, key: Path, revoked_file: Path | None) -> Attested:
    from candor_guard import attest as attested  # noqa: PLC0415
    from candor_guard.guarded import revoked_ids  # noqa: PLC0415

    revoked = () if revoked_file is None else revoked_ids(revoked_file)
    return attested(model, key, revoked=revoked)


def _show(found: Attested, done: dict[str, Any], *, checked_revoked: bool, as_json: bool) -> None:
    from candor_guard import NOT_CHECKED  # noqa: PLC0415

    stamp, console = found.stamp, Console(highlight=False)
    not_checked = stamp.not_checked
    if not checked_revoked:
        not_checked = (*not_checked, f"{NOT_CHECKED.words} since")
    if as_json:
        told = {"valid": True, **msgspec.to_builtins(stamp), "not_checked": not_checked, **done}
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
        return
    console.print(
        f"valid: trained on {stamp.rows} of {stamp.released_rows} rows released for "
        f"{stamp.assistant} by decision {stamp.decision_id}"
    )
    if done["signature"] is not None:
        console.print(f"signature valid: {done['signature']}")
    if done["registered"] is not None:
        assistant, version = done["registered"]
        console.print(f"registered: {version} of {assistant}", markup=False)
    if done["written"] is not None:
        console.print(f"signed: {done['written']}", markup=False)
    for words in not_checked:
        console.print(f"not checked: {words}")


def _registered(
    found: Attested, named: tuple[str, str], by: str | None, api_key_file: Path | None
) -> None:
    from monitor.services.attesting import register_version  # noqa: PLC0415

    assistant, version = named
    with acting("gate", by, api_key_file) as (connection, actor, _):
        register_version(
            connection,
            found,
            assistant=assistant,
            version=version,
            by=actor.person,
            now_s=time.time(),
            sees=actor.sees,
        )


def _signed(model: Path, found: Attested, key: Path, predicate: WeightsPredicateName) -> Path:
    """Sign attested weights in the form that the kind of the key asks for."""
    from cryptography.hazmat.primitives.asymmetric.ec import (  # noqa: PLC0415
        EllipticCurvePrivateKey,
    )

    from retrain.model_signature import sign_model  # noqa: PLC0415
    from retrain.signing import read_private_key  # noqa: PLC0415
    from retrain.weights import WeightsPredicate, sign_weights  # noqa: PLC0415

    if isinstance(read_private_key(key), EllipticCurvePrivateKey):
        if predicate is not WeightsPredicateName.WEIGHTS:
            raise BadInputError("model.sig has the predicate of its format", "--predicate")
        return sign_model(model, key)
    stated = WeightsPredicate[predicate.name]
    return sign_weights(model, found, key, predicate=stated, now_s=time.time())


def _verified_signature(model: Path, found: Attested, key: Path) -> str:
    """The form of the signature that this public key verifies. Raises RefusedError, BadInputError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    from retrain.model_signature import verify_model  # noqa: PLC0415
    from retrain.weights import verify_weights  # noqa: PLC0415

    try:
        public = load_pem_public_key(key.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInputError(f"not a PEM public key: {error}", str(key)) from error
    if isinstance(public, Ed25519PublicKey):
        return verify_weights(model, found, key).value
    verify_model(model, found.stamp.weights, key)
    return "https://model_signing/signature/v1.0"
