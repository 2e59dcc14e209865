"""Who vouches for a confirm report: a DSSE envelope beside it, signed with the key that signs decisions."""

from __future__ import annotations

from pathlib import Path

from candor_guard.decision import public_key, signed_statement
from candor_guard.errors import BadInputError, RefusedError
from candor_guard.files import file_sha256
from retrain.files import write_durably
from retrain.signing import STATEMENT_TYPE, public_pem, signed_envelope

REPORT_PREDICATE = "urn:candor:confirm-report:v1"
UNSIGNED, FORGED = "confirm_unsigned", "confirm_forged"


def envelope_of(report: Path) -> Path:
    """Where the envelope of a report lies: `report.json` has `report.dsse.json` beside it."""
    return report.with_name(f"{report.stem}.dsse.json")


def sign_report(report: Path, key_file: Path | str) -> Path:
    """Vouch for the report as it is on disk; returns the envelope's path.

    Raises MisconfiguredError for a bad key, BadInputError where the report cannot be read.
    """
    stated = {
        "_type": STATEMENT_TYPE,
        "subject": _subject(report),
        "predicateType": REPORT_PREDICATE,
        "predicate": {},
    }
    path = envelope_of(report)
    write_durably(path, signed_envelope(stated, key_file).encode())
    return path


def report_fault(report: Path, key_file: Path | str) -> str | None:
    """Why a report may not carry a decision signed with this key; None where the key vouches for it.

    Raises MisconfiguredError for a bad key, BadInputError where the report cannot be read.
    """
    public, subject = public_key(public_pem(key_file)), _subject(report)
    try:
        envelope = envelope_of(report).read_bytes()
    except OSError:
        return UNSIGNED
    try:
        stated = signed_statement(envelope, public)
    except RefusedError:
        return FORGED
    said = (stated.get("subject"), stated.get("predicateType"))
    return None if said == (subject, REPORT_PREDICATE) else FORGED


def _subject(report: Path) -> list[dict[str, object]]:
    try:
        return [{"name": "confirm-report", "digest": {"sha256": file_sha256(report)}}]
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(report)) from error
