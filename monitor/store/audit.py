"""The audit log: who did what, hash-chained so that a changed, moved or missing entry shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, text

from evidence import canonical_json, digest
from monitor.store.schema import audit_log

GENESIS = "0" * 64
"""What the first entry names as its predecessor."""

# Any fixed number; only appenders of this log take the lock.
_LOCK_KEY = 0x63616E64


class AuditReport(msgspec.Struct, frozen=True):
    """Result of a verification.

    `first_bad` is the id of the first entry that does not fit, `head` the hash of the last entry
    (the genesis value for an empty log). A log cut off at its end still fits together: keep `head`
    elsewhere and compare.
    """

    entries: int
    head: str
    first_bad: int | None
    problem: str | None

    @property
    def ok(self) -> bool:
        return self.first_bad is None


def append(
    connection: Connection,
    *,
    by: str,
    action: str,
    subject: str,
    details: Mapping[str, Any],
    at_s: float,
) -> str:
    """Add one entry in the caller's transaction, so that an act and its record stand or fall together.

    Returns the entry's hash. `details` is JSON without NaN.
    """
    if connection.dialect.name == "postgresql":
        # SQLite's writers are serial already; here two appenders would name the same predecessor.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    newest = select(audit_log.c.hash).order_by(audit_log.c.id.desc()).limit(1)
    previous = connection.execute(newest).scalar() or GENESIS
    body = canonical_json(dict(details)).decode()
    entry = _hash(previous, at_s, (by, action, subject, body))
    connection.execute(
        insert(audit_log).values(
            at_s=at_s,
            by=by,
            action=action,
            subject=subject,
            details=body,
            previous=previous,
            hash=entry,
        )
    )
    return entry


def verify(connection: Connection) -> AuditReport:
    """Recompute the whole chain, streaming; stops at the first entry that does not fit."""
    head, entries = GENESIS, 0
    rows = connection.execution_options(yield_per=1000).execute(
        select(audit_log).order_by(audit_log.c.id)
    )
    for row in rows:
        if row.previous != head:
            return AuditReport(entries, head, row.id, "an entry before it is missing or moved")
        expected = _hash(head, row.at_s, (row.by, row.action, row.subject, row.details))
        if row.hash != expected:
            return AuditReport(entries, head, row.id, "its content was changed")
        head, entries = row.hash, entries + 1
    return AuditReport(entries, head, None, None)


def holds(connection: Connection, entry: str) -> bool:
    """Whether an entry with this hash is in the log."""
    query = select(audit_log.c.id).where(audit_log.c.hash == entry)
    return connection.execute(query).scalar() is not None


def _hash(previous: str, at_s: float, texts: tuple[str, str, str, str]) -> str:
    return digest(previous, float(at_s).hex(), *texts)
