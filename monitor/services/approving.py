"""Moving an assistant's approved version: only a person does it, or a release that a person names."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from evidence import BadInputError
from evidence.person import Person
from monitor.services.person import Sees, sees_all
from monitor.services.references import check_released
from monitor.store import approved
from monitor.store.approved import ApprovedVersion

_MOST_CHARS = 1000


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants: this version, or this folder of weights, is the approved one from now on."""

    assistant: str
    version: str
    by: Person
    reason: str
    decision_id: str | None = None


def approve_version(
    connection: Connection,
    wanted: Approval,
    *,
    configured: Collection[str],
    now_s: float,
    sees: Sees = sees_all,
) -> ApprovedVersion:
    """Record what is approved; workers measure with it from their next start.

    A folder is kept by its absolute path. Raises BadInputError for an assistant without a section of
    its own (`configured` names those that have one), for a version without a name, and for a decision
    that did not release.
    """
    if wanted.assistant not in configured or not sees(wanted.assistant):
        raise BadInputError(
            f"no section [assistants.{wanted.assistant}] is configured: only such an assistant has"
            " an approved version of its own",
            wanted.assistant,
        )
    if not wanted.reason.strip():
        raise BadInputError("a version is approved for a reason", wanted.assistant)
    folder = Path(wanted.version)
    version = str(folder.resolve()) if folder.is_dir() else wanted.version.strip()
    if not 0 < len(version) <= _MOST_CHARS or not version.isprintable():
        raise BadInputError(f"a version has 1 to {_MOST_CHARS} characters", wanted.assistant)
    if wanted.decision_id is not None:
        check_released(connection, wanted.decision_id, wanted.assistant)
    made = ApprovedVersion(
        assistant=wanted.assistant,
        version=version,
        reason=wanted.reason,
        approved_by=wanted.by.signed,
        decision_id=wanted.decision_id,
        created_at_s=now_s,
    )
    approved.record(connection, made)
    return made
