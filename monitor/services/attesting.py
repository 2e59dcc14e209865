"""Registering which version of an assistant the attested weights are."""

from __future__ import annotations

import hashlib

import msgspec
from sqlalchemy import Connection

from candor_guard.errors import RefusedError
from candor_guard.stamp import Attested
from evidence import BadInputError
from evidence.person import Person
from monitor.services.decisions import find
from monitor.services.person import Sees, sees_all
from monitor.store import attested as store
from monitor.store.attested import AttestedVersion
from monitor.store.decisions import UnknownDecisionError

_MOST_CHARS = 300


def register_version(
    connection: Connection,
    found: Attested,
    *,
    assistant: str,
    version: str,
    by: Person,
    now_s: float,
    sees: Sees = sees_all,
) -> AttestedVersion:
    """Record that a version, by its name in the records, has these weights, which were attested just now.

    A decision that this store does not know, as one made from a file of evidence, rests on its
    signature alone. Raises BadInputError for weights of another assistant or a version without a name, and
    RefusedError (`revoked`) where the store knows that the decision was revoked.
    """
    decision = found.decision
    if decision.assistant != assistant or not sees(assistant):
        raise BadInputError(f"the weights were released for {decision.assistant!r}", assistant)
    version = version.strip()
    if not 0 < len(version) <= _MOST_CHARS or not version.isprintable():
        raise BadInputError(f"a version has 1 to {_MOST_CHARS} characters", assistant)
    try:
        stored, _ = find(connection, decision.decision_id)
    except UnknownDecisionError:
        stored = None
    if stored is not None and stored.revoked_at_s is not None:
        raise RefusedError("revoked", f"decision {decision.decision_id} was revoked", "store")
    made = AttestedVersion(
        assistant=assistant,
        version=version,
        decision_id=decision.decision_id,
        weights_digest=hashlib.sha256(
            msgspec.json.encode(found.stamp.weights, order="sorted")
        ).hexdigest(),
        attested_by=by.signed,
        created_at_s=now_s,
    )
    store.record(connection, made)
    return made
