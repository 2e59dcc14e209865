"""Signed weights, in this project's own form: an in-toto statement over the files of a stamped folder, in DSSE.

The stamp is a training job's word. Who releases the weights verifies it and signs what was found: these
files, the decision, the rows and the base model.
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

from candor_guard.decision import public_key, signed_statement
from candor_guard.errors import RefusedError
from candor_guard.stamp import Attested
from retrain.files import write_durably
from retrain.signing import STATEMENT_TYPE, read_decision, signed_envelope

SIGNED_WEIGHTS = "candor-weights.dsse.json"


class WeightsPredicate(StrEnum):
    """What a statement about weights says: all that is known, or SLSA's summary of a verification."""

    WEIGHTS = "urn:candor:weights:v1"
    VSA = "https://slsa.dev/verification_summary/v1"


def sign_weights(
    folder: Path,
    attested: Attested,
    key_file: Path,
    *,
    predicate: WeightsPredicate = WeightsPredicate.WEIGHTS,
    now_s: float,
) -> Path:
    """Sign the weights of a folder that was attested just now; returns the envelope's path.

    Raises MisconfiguredError for a key that is not a private ed25519 one.
    """
    path = folder / SIGNED_WEIGHTS
    stated = _statement(attested, predicate, int(now_s))
    write_durably(path, signed_envelope(stated, key_file).encode())
    return path


def verify_weights(folder: Path, attested: Attested, key: Path) -> WeightsPredicate:
    """What the signature of an attested folder states. Raises RefusedError.

    Its code is `no_signature`, `bad_signature`, `malformed`, `not_yet_valid`, or `other_weights` where other files, or
    another decision, were signed.
    """
    path = folder / SIGNED_WEIGHTS
    try:
        envelope = path.read_bytes()
    except FileNotFoundError as error:
        raise RefusedError("no_signature", "the weights are not signed", str(path)) from error
    stated = signed_statement(envelope, public_key(key), str(path))
    try:
        predicate = WeightsPredicate(stated["predicateType"])
        at_s = int(datetime.fromisoformat(stated["predicate"]["timeVerified"]).timestamp())
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedError("malformed", "not a statement about weights", str(path)) from error
    if at_s > time.time() + 300:
        raise RefusedError("not_yet_valid", "the signature is from the future", str(path))
    wanted = _statement(attested, predicate, at_s)
    if stated.get("subject") != wanted["subject"]:
        raise RefusedError("other_weights", "not the weights that were signed", str(path))
    if stated != wanted:
        raise RefusedError(
            "other_weights", "the weights were signed with another decision", str(path)
        )
    return predicate


def _statement(attested: Attested, predicate: WeightsPredicate, at_s: int) -> dict[str, Any]:
    told = _summary if predicate is WeightsPredicate.VSA else _told
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digest}}
            for name, digest in sorted(attested.stamp.weights.items())
        ],
        "predicateType": predicate.value,
        "predicate": {
            "timeVerified": datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z"),
            **told(attested),
        },
    }


def _told(attested: Attested) -> dict[str, Any]:
    decision, stamp = attested.decision, attested.stamp
    return {
        "decision": {
            "id": decision.decision_id,
            "assistant": decision.assistant,
            "answer": decision.answer.value,
            "overridden": decision.overridden,
            "key_id": decision.key_id,
            "digest": {"sha256": _envelope_digest(attested)},
        },
        "rows": {
            "digest": {"sha256": decision.subject_digest},
            "trained": stamp.rows,
            "released": stamp.released_rows,
        },
        "base_model": list(decision.models),
        "steps": stamp.steps,
        "not_checked": list(stamp.not_checked),
    }


def _summary(attested: Attested) -> dict[str, Any]:
    """SLSA's predicate; weights of a person's override did not pass the gate, and say so."""
    decision = attested.decision
    policy = read_decision(attested.stamp.envelope).policy_digest
    passed = not decision.overridden
    return {
        "verifier": {"id": "urn:candor:gate"},
        "resourceUri": f"urn:candor:assistant:{quote(decision.assistant, safe='')}",
        "policy": {"uri": "urn:candor:policy", "digest": {"sha256": policy}},
        "inputAttestations": [
            {
                "uri": f"urn:candor:decision:{decision.decision_id}",
                "digest": {"sha256": _envelope_digest(attested)},
            }
        ],
        "verificationResult": "PASSED" if passed else "FAILED",
        "verifiedLevels": ["CANDOR_ROWS_RELEASED" if passed else "FAILED"],
    }


def _envelope_digest(attested: Attested) -> str:
    return hashlib.sha256(attested.stamp.envelope.encode()).hexdigest()
