"""Which version of each assistant is the approved one, since when, and who said so."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, func, insert, select

from monitor.store import audit
from monitor.store.schema import approved_versions


class ApprovedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that a person approved: a name in the records, or a folder of weights."""

    assistant: str
    version: str
    reason: str
    approved_by: str
    decision_id: str | None
    created_at_s: float


def record(connection: Connection, approved: ApprovedVersion) -> None:
    """Keep an approval, which holds until the next one, and audit it."""
    connection.execute(insert(approved_versions).values(**msgspec.structs.asdict(approved)))
    audit.append(
        connection,
        by=approved.approved_by,
        action="reference.approve",
        subject=approved.assistant,
        details={
            "version": approved.version,
            "reason": approved.reason,
            "decision_id": approved.decision_id,
        },
        at_s=approved.created_at_s,
    )


def newest(connection: Connection) -> dict[str, ApprovedVersion]:
    """The approval that holds, by assistant, for those that have one."""
    table = approved_versions.c
    last = select(func.max(table.id)).group_by(table.assistant)
    query = select(approved_versions).where(table.id.in_(last)).order_by(table.assistant)
    rows = connection.execute(query).mappings()
    return {
        row["assistant"]: ApprovedVersion(**{k: v for k, v in row.items() if k != "id"})
        for row in rows
    }
