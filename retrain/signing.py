"""Signed gate decisions: an in-toto statement in a DSSE envelope, ed25519."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SecuresystemslibError
from securesystemslib.signer import CryptoSigner

from candor_guard.decision import PAYLOAD_TYPE, PREDICATE_TYPE
from evidence import BadInputError, MisconfiguredError, canonical_json
from retrain.gate import GateDecision

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"


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
    return signed_envelope(statement(decision), key_file)


def signed_envelope(stated: dict[str, Any], key_file: Path | str) -> str:
    """An in-toto statement in an envelope that the key signed. Raises MisconfiguredError for a bad key."""
    envelope = Envelope(canonical_json(stated), PAYLOAD_TYPE, {})
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
        RecursionError,
    ) as error:
        raise BadInputError(f"not a gate decision: {error}", where) from error


def public_pem(key_file: Path | str) -> bytes:
    """The public key (PEM) of a private key file."""
    return _public_pem(_private_key(key_file))


def _public_pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _private_key(key_file: Path | str) -> Ed25519PrivateKey:
    private = read_private_key(key_file)
    if not isinstance(private, Ed25519PrivateKey):
        raise MisconfiguredError("not an ed25519 key", str(key_file))
    return private


def read_private_key(key_file: Path | str) -> PrivateKeyTypes:
    """A private key (PEM) of any kind that nobody else can read. Raises MisconfiguredError."""
    path = Path(key_file)
    try:
        status, pem = path.stat(), path.read_bytes()
    except OSError as error:
        raise MisconfiguredError(f"cannot be read: {error.strerror}", str(path)) from error
    # A group may read a file of another owner: so Kubernetes mounts a secret.
    if status.st_mode & (0o077 if status.st_uid == os.geteuid() else 0o037):
        raise MisconfiguredError("others can read or write the key; chmod 600", str(path))
    try:
        return load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MisconfiguredError("not an unencrypted PEM private key", str(path)) from error
