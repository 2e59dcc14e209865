"""Who vouches for a confirm report: a DSSE envelope beside it, signed with the key that signs decisions."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SecuresystemslibError
from securesystemslib.signer import CryptoSigner, SSlibKey

from candor_guard.decision import PAYLOAD_TYPE
from evidence import BadInputError, canonical_json
from retrain.files import write_durably
from retrain.signing import STATEMENT_TYPE, private_key

REPORT_PREDICATE = "urn:candor:confirm-report:v1"
UNSIGNED, FORGED = "confirm_unsigned", "confirm_forged"


def envelope_of(report: Path) -> Path:
    """Where the envelope of a report lies: `report.json` has `report.dsse.json` beside it."""
    return report.with_name(f"{report.stem}.dsse.json")


def sign_report(report: Path, key_file: Path | str) -> Path:
    """Vouch for the report as it is on disk; returns the envelope's path.

    Raises MisconfiguredError for a bad key, BadInputError where the report cannot be read.
    """
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "confirm-report", "digest": {"sha256": _digest(report)}}],
        "predicateType": REPORT_PREDICATE,
        "predicate": {},
    }
    envelope = Envelope(canonical_json(statement), PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(private_key(key_file)))
    path = envelope_of(report)
    write_durably(path, json.dumps(envelope.to_dict(), indent=2).encode())
    return path


def report_fault(report: Path, key_file: Path | str) -> str | None:
    """Why a report may not carry a decision signed with this key; None where the key vouches for it.

    Raises MisconfiguredError for a bad key, BadInputError where the report cannot be read.
    """
    public = SSlibKey.from_crypto(private_key(key_file).public_key())
    digest = _digest(report)
    try:
        text = envelope_of(report).read_bytes()
    except OSError:
        return UNSIGNED
    try:
        envelope = Envelope.from_dict(json.loads(text))
        envelope.verify([public], 1)
        said = json.loads(envelope.payload)
        same = said["subject"][0]["digest"]["sha256"] == digest
        known = envelope.payload_type == PAYLOAD_TYPE and said["predicateType"] == REPORT_PREDICATE
    except (
        SecuresystemslibError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ):
        return FORGED
    return None if same and known else FORGED


def _digest(report: Path) -> str:
    try:
        return sha256(report.read_bytes()).hexdigest()
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(report)) from error
