"""The signed decision as the guard reads it: an in-toto statement in a DSSE envelope, ed25519."""

from __future__ import annotations

import binascii
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SecuresystemslibError
from securesystemslib.signer import SSlibKey

from candor_guard.answer import GateAnswer
from candor_guard.errors import BadInputError, RefusedError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATE_TYPE = "urn:candor:gate-decision:v1"


class VerifiedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What a valid envelope says.

    Parameters
    ----------
    subject_digest
        The manifest digest of what may be trained.
    models
        Names and digests of the base model that the decision is about; none where it names none.
    key_id
        The key that signed, as securesystemslib names it.
    """

    decision_id: str
    assistant: str
    answer: GateAnswer
    overridden: bool
    subject_digest: str
    all_rows: int
    removed_bitmap: str
    created_at_s: float
    expires_at_s: float
    models: tuple[str, ...] = ()
    key_id: str = ""


def verify(
    envelope: str | bytes,
    key: Path | str | bytes,
    *,
    now_s: float,
    revoked: Collection[str] = (),
    where: str = "",
) -> VerifiedDecision:
    """Check signature, form, expiry, revocation and that the answer releases something.

    `key` is the public key: PEM bytes, or the path of a PEM file. Raises RefusedError with the code
    of the first check that fails.
    """
    public = public_key(key)
    decision = _decision(signed_statement(envelope, public, where), public.keyid, where)
    if decision.decision_id in revoked:
        raise RefusedError("revoked", f"decision {decision.decision_id} was revoked", where)
    if now_s >= decision.expires_at_s:
        raise RefusedError("expired", "the decision has expired", where)
    if now_s < decision.created_at_s - 300:
        raise RefusedError(
            "not_yet_valid", "the decision is from the future; check the clock", where
        )
    return decision


def public_key(key: Path | str | bytes) -> SSlibKey:
    """An ed25519 public key: PEM bytes, or the path of a PEM file. Raises BadInputError."""
    try:
        pem = key if isinstance(key, bytes) else Path(key).read_bytes()
        public = load_pem_public_key(pem)
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(key)) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInputError("not a PEM public key") from error
    if not isinstance(public, Ed25519PublicKey):
        raise BadInputError("not an ed25519 public key")
    return SSlibKey.from_crypto(public)


def signed_statement(envelope: str | bytes, key: SSlibKey, where: str = "") -> dict[str, Any]:
    """The in-toto statement of a DSSE envelope that the key signed. Raises RefusedError."""
    try:
        parsed = Envelope.from_dict(json.loads(envelope))
        if parsed.payload_type != PAYLOAD_TYPE:
            raise RefusedError("malformed", "not an in-toto statement", where)
        parsed.verify([key], 1)
        data = json.loads(parsed.payload)
    except SecuresystemslibError as error:
        raise RefusedError("bad_signature", "the signature does not verify", where) from error
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        binascii.Error,
        RecursionError,
    ) as error:
        raise RefusedError("malformed", "not a DSSE envelope", where) from error
    if not isinstance(data, dict):
        raise RefusedError("malformed", "not an in-toto statement", where)
    return data


class _Predicate(msgspec.Struct, kw_only=True):
    decision_id: str
    assistant: str
    answer: GateAnswer
    subject_digest: str | None
    all_rows: dict[str, Any]
    removed_bitmap: str
    created_at_s: float
    expires_at_s: float
    override: dict[str, Any] | None
    schema_version: int
    model: str | None = None
    model_digest: str | None = None


class _Subject(msgspec.Struct):
    digest: dict[str, str]


class _Statement(msgspec.Struct):
    predicate: _Predicate
    subject: tuple[_Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")


def _decision(data: dict[str, Any], key_id: str, where: str) -> VerifiedDecision:
    try:
        parsed = msgspec.convert(data, _Statement)
    except msgspec.ValidationError as error:
        raise RefusedError("malformed", f"not a gate decision: {error}", where) from error
    predicate = parsed.predicate
    if parsed.predicate_type != PREDICATE_TYPE or predicate.schema_version != 1:
        raise RefusedError("malformed", "not a gate decision of a known version", where)
    overridden = predicate.override is not None
    released = predicate.answer in {GateAnswer.ALLOW, GateAnswer.QUARANTINE}
    if predicate.subject_digest is None or not (released or overridden):
        raise RefusedError("not_released", f"the gate answered {predicate.answer.value}", where)
    if [s.digest.get("sha256") for s in parsed.subject] != [predicate.subject_digest]:
        raise RefusedError("malformed", "subject and predicate disagree", where)
    return VerifiedDecision(
        decision_id=predicate.decision_id,
        assistant=predicate.assistant,
        answer=predicate.answer,
        overridden=overridden,
        subject_digest=predicate.subject_digest,
        all_rows=int(predicate.all_rows.get("rows", 0)),
        removed_bitmap=predicate.removed_bitmap,
        created_at_s=predicate.created_at_s,
        expires_at_s=predicate.expires_at_s,
        models=tuple(one for one in (predicate.model, predicate.model_digest) if one),
        key_id=key_id,
    )
