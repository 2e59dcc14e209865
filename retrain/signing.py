"""Signed gate decisions: an in-toto statement in a DSSE envelope, ed25519."""

from __future__ import annotations

import binascii
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SecuresystemslibError
from securesystemslib.signer import CryptoSigner, SSlibKey

from evidence import BadInputError, GateAnswer, MisconfiguredError, canonical_json
from retrain.gate import GateDecision

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:candor:gate-decision:v1"


class RefusedError(BadInputError):
    """A decision does not permit the training that was asked for: exit code 2, never 0.

    `code` is one of bad_signature, malformed, expired, not_yet_valid, revoked, not_released,
    other_rows, other_dataset, other_assistant.
    """

    def __init__(self, code: str, what: str, where: str = "") -> None:
        self.code = code
        super().__init__(f"{what} ({code})", where)


class VerifiedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What a valid envelope says. `subject_digest` is the manifest digest of what may be trained."""

    decision_id: str
    assistant: str
    answer: GateAnswer
    overridden: bool
    subject_digest: str
    all_rows: int
    removed_bitmap: str
    created_at_s: float
    expires_at_s: float


def generate_keypair(path: Path | str) -> tuple[Path, Path]:
    """Write a new ed25519 private key (PEM, PKCS 8, mode 0600) to `path` and its public key beside it.

    Returns both paths; the public one has the suffix `.pub`. Raises BadInputError when either
    exists: a key is never overwritten.
    """
    private, public = Path(path), Path(path).with_suffix(".pub")
    if private == public:
        raise BadInputError("a private key's file must not end in .pub", str(path))
    key = Ed25519PrivateKey.generate()
    private.parent.mkdir(parents=True, exist_ok=True)
    pem = CryptoSigner(key).private_bytes
    for file, data, mode in ((private, pem, 0o600), (public, _public_pem(key), 0o644)):
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError as error:
            raise BadInputError(
                "a key is there already and is not overwritten", str(file)
            ) from error
        with os.fdopen(handle, "wb") as out:
            out.write(data)
    return private, public


def sign(decision: GateDecision, key_file: Path | str) -> str:
    """The decision as a signed DSSE envelope, JSON text. Raises MisconfiguredError for a bad key."""
    envelope = Envelope(canonical_json(statement(decision)), PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(_private_key(key_file)))
    return json.dumps(envelope.to_dict(), indent=2)


def unsigned(decision: GateDecision) -> str:
    """The same envelope without a signature, where no key is configured; nothing verifies it."""
    envelope = Envelope(canonical_json(statement(decision)), PAYLOAD_TYPE, {})
    return json.dumps(envelope.to_dict(), indent=2)


def statement(decision: GateDecision) -> dict[str, Any]:
    """The in-toto statement: the subject is what may be trained, or all rows when nothing may."""
    subject = decision.subject_digest or decision.all_rows.digest
    predicate = msgspec.to_builtins(msgspec.structs.replace(decision, removed=()))
    del predicate["removed"], predicate["removed_bits"]
    predicate["removed_bitmap"] = decision.removed_bitmap()
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "training-rows", "digest": {"sha256": subject}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }


def read_decision(envelope: str | bytes, where: str = "") -> GateDecision:
    """A decision from its own envelope, whose signature is not looked at: for who keeps decisions.

    Its removed rows are known by position alone. Raises BadInputError.
    """
    try:
        payload = Envelope.from_dict(json.loads(envelope)).payload
        predicate = json.loads(payload)["predicate"]
        bits = predicate.pop("removed_bitmap")
        return msgspec.convert({**predicate, "removed": [], "removed_bits": bits}, GateDecision)
    except (
        SecuresystemslibError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        msgspec.ValidationError,
    ) as error:
        raise BadInputError(f"not a gate decision: {error}", where) from error


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
    data = _signed_statement(envelope, _public_key(key), where)
    decision = _decision(data, where)
    if decision.decision_id in revoked:
        raise RefusedError("revoked", f"decision {decision.decision_id} was revoked", where)
    if now_s >= decision.expires_at_s:
        raise RefusedError("expired", "the decision has expired", where)
    if now_s < decision.created_at_s - 300:
        raise RefusedError(
            "not_yet_valid", "the decision is from the future; check the clock", where
        )
    return decision


def _public_key(key: Path | str | bytes) -> SSlibKey:
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


def public_pem(key_file: Path | str) -> bytes:
    """The public key (PEM) of a private key file."""
    return _public_pem(_private_key(key_file))


def _public_pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _private_key(key_file: Path | str) -> Ed25519PrivateKey:
    path = Path(key_file)
    try:
        status, pem = path.stat(), path.read_bytes()
    except OSError as error:
        raise MisconfiguredError(f"cannot be read: {error.strerror}", str(path)) from error
    # A group may read a file of another owner: so Kubernetes mounts a secret.
    if status.st_mode & (0o077 if status.st_uid == os.geteuid() else 0o037):
        raise MisconfiguredError("others can read or write the key; chmod 600", str(path))
    try:
        private = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MisconfiguredError("not an unencrypted PEM private key", str(path)) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise MisconfiguredError("not an ed25519 key", str(path))
    return private


def _signed_statement(envelope: str | bytes, key: SSlibKey, where: str) -> dict[str, Any]:
    try:
        parsed = Envelope.from_dict(json.loads(envelope))
        if parsed.payload_type != PAYLOAD_TYPE:
            raise RefusedError("malformed", "not an in-toto statement", where)
        parsed.verify([key], 1)
        data = json.loads(parsed.payload)
    except SecuresystemslibError as error:
        raise RefusedError("bad_signature", "the signature does not verify", where) from error
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
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


class _Subject(msgspec.Struct):
    digest: dict[str, str]


class _Statement(msgspec.Struct):
    predicate: _Predicate
    subject: tuple[_Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")


def _decision(data: dict[str, Any], where: str) -> VerifiedDecision:
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
    )
