"""Gate decisions in the store: recorded, looked up, revoked."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, select, update

from evidence import BadInputError
from monitor.store import audit, outbox
from monitor.store.dialect import insert_new
from monitor.store.outbox import GATES_TOPIC
from monitor.store.schema import gate_decisions
from retrain.gate import GateDecision


class GateNotice(msgspec.Struct, frozen=True, kw_only=True):
    """What `honesty.gates` carries: the outcome, and the signed envelope for who acts on it."""

    decision_id: str
    assistant: str
    answer: str
    reasons: tuple[str, ...]
    rows: int
    released: int
    removed_by_reason: dict[str, int]
    subject_digest: str | None
    created_at_s: float
    expires_at_s: float
    overridden_by: str | None
    envelope: str
    schema_version: int = 1


def record(connection: Connection, decision: GateDecision, envelope: str) -> bool:
    """Store a decision and queue its notice, in one transaction; False when it is there already."""
    overridden = None if decision.override is None else decision.override.by
    row = {
        "decision_id": decision.decision_id,
        "assistant": decision.assistant,
        "answer": decision.answer.value,
        "subject_digest": decision.subject_digest,
        "envelope": envelope,
        "created_at_s": decision.created_at_s,
        "expires_at_s": decision.expires_at_s,
        "overridden_by": overridden,
    }
    if not insert_new(connection, gate_decisions, [row], [gate_decisions.c.decision_id]):
        return False
    notice = GateNotice(
        decision_id=decision.decision_id,
        assistant=decision.assistant,
        answer=decision.answer.value,
        reasons=decision.reasons,
        rows=decision.all_rows.rows,
        released=decision.released.rows,
        removed_by_reason=decision.removed_by_reason,
        subject_digest=decision.subject_digest,
        created_at_s=decision.created_at_s,
        expires_at_s=decision.expires_at_s,
        overridden_by=overridden,
        envelope=envelope,
    )
    key = decision.assistant.encode("utf-8", "surrogatepass")
    now_s = decision.created_at_s
    outbox.add(connection, GATES_TOPIC, [(key, msgspec.json.encode(notice))], now_s=now_s)
    return True


def revoke(connection: Connection, decision_id: str, *, by: str, reason: str, at_s: float) -> None:
    """Withdraw a decision: guards that read the list of revoked ones refuse it from then on.

    Raises BadInputError for an unknown id; revoking twice keeps the first time.
    """
    table = gate_decisions.c
    known = select(table.decision_id).where(table.decision_id == decision_id)
    if connection.execute(known).scalar() is None:
        raise BadInputError(f"no decision has the id {decision_id!r}", "decision_id")
    connection.execute(
        update(gate_decisions)
        .where(table.decision_id == decision_id, table.revoked_at_s.is_(None))
        .values(revoked_at_s=at_s)
    )
    details = {"reason": reason}
    audit.append(
        connection,
        by=by,
        action="decision.revoked",
        subject=decision_id,
        details=details,
        at_s=at_s,
    )


def revoked_ids(connection: Connection) -> list[str]:
    """Ids of all revoked decisions, for the file that guards read."""
    table = gate_decisions.c
    query = select(table.decision_id).where(table.revoked_at_s.is_not(None))
    return list(connection.execute(query.order_by(table.decision_id)).scalars())
