"""Gate decisions in the store: recorded, looked up, overridden, revoked; each with its notice."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from sqlalchemy import Connection, insert, select, update

from evidence import BadInputError
from monitor.store import audit, outbox
from monitor.store.dialect import insert_new
from monitor.store.outbox import GATES_TOPIC
from monitor.store.schema import gate_decisions, gate_deliveries, review_queue
from retrain.gate import GateDecision, override
from retrain.review import review_sample
from retrain.rows import Row
from retrain.signing import read_decision, sign

DECIDED, OVERRIDDEN, REVOKED = "decided", "overridden", "revoked"


class UnknownDecisionError(BadInputError):
    """No decision has this id."""


class GateNotice(msgspec.Struct, frozen=True, kw_only=True):
    """What `honesty.gates` and the webhook carry: the outcome, and the signed envelope for who acts on it.

    `event` is decided, overridden or revoked; `answer` is the gate's own, also under an override.
    """

    event: str
    decision_id: str
    assistant: str
    answer: str
    reasons: tuple[str, ...]
    rows: int
    released: int
    removed_by_reason: dict[str, int]
    good_rows_lost: float
    subject_digest: str | None
    created_at_s: float
    expires_at_s: float
    overridden_by: str | None
    envelope: str
    schema_version: int = 1


class StoredDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as stored."""

    decision: GateDecision
    envelope: str
    revoked_at_s: float | None


def record(
    connection: Connection,
    decision: GateDecision,
    envelope: str,
    *,
    released: Iterable[Row] = (),
) -> bool:
    """Store a decision with its notice, and queue 100 random rows of a release for review, in one
    transaction; False when it is there already.

    `released` are the rows that are not quarantined, read only where the decision releases them.
    """
    row = {
        "decision_id": decision.decision_id,
        "assistant": decision.assistant,
        "answer": decision.answer.value,
        "subject_digest": decision.subject_digest,
        "envelope": envelope,
        "created_at_s": decision.created_at_s,
        "expires_at_s": decision.expires_at_s,
        "overridden_by": None if decision.override is None else decision.override.by,
        "requested_by": None if decision.override is None else decision.override.requested_by,
    }
    if not insert_new(connection, gate_decisions, [row], [gate_decisions.c.decision_id]):
        return False
    event = DECIDED if decision.override is None else OVERRIDDEN
    _announce(connection, decision, envelope, event, decision.created_at_s)
    if decision.releases and decision.override is None:
        _queue_review(connection, decision, released)
    return True


def _announce(
    connection: Connection, decision: GateDecision, envelope: str, event: str, now_s: float
) -> None:
    notice = GateNotice(
        event=event,
        decision_id=decision.decision_id,
        assistant=decision.assistant,
        answer=decision.answer.value,
        reasons=decision.reasons,
        rows=decision.all_rows.rows,
        released=decision.released.rows,
        removed_by_reason=decision.removed_by_reason,
        good_rows_lost=decision.good_rows_lost,
        subject_digest=decision.subject_digest,
        created_at_s=decision.created_at_s,
        expires_at_s=decision.expires_at_s,
        overridden_by=None if decision.override is None else decision.override.by,
        envelope=envelope,
    )
    key, body = decision.assistant.encode("utf-8", "surrogatepass"), msgspec.json.encode(notice)
    outbox.add(connection, GATES_TOPIC, [(key, body)], now_s=now_s)
    connection.execute(
        insert(gate_deliveries).values(
            decision_id=decision.decision_id, event=event, body=body, attempts=0, next_at_s=now_s
        )
    )


def _queue_review(connection: Connection, decision: GateDecision, released: Iterable[Row]) -> None:
    chosen = review_sample(released, decision.released.rows, decision.decision_id)
    rows = {
        row.digest: {
            "assistant": decision.assistant,
            "decision_id": decision.decision_id,
            "row_digest": row.digest,
            "response_id": row.response_id,
            "inclusion_probability": row.inclusion_probability,
            "queued_at_s": decision.created_at_s,
        }
        for row in chosen
    }
    if rows:
        connection.execute(insert(review_queue), list(rows.values()))


def find(connection: Connection, decision_id: str) -> StoredDecision:
    """A decision by its id. Raises UnknownDecisionError."""
    table = gate_decisions.c
    query = select(table.envelope, table.revoked_at_s).where(table.decision_id == decision_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UnknownDecisionError(f"no decision has the id {decision_id!r}", "decision_id")
    return StoredDecision(
        decision=read_decision(row.envelope), envelope=row.envelope, revoked_at_s=row.revoked_at_s
    )


def override_decision(
    connection: Connection,
    decision_id: str,
    *,
    by: str,
    requested_by: str,
    reason: str,
    until_s: float,
    now_s: float,
    longest_s: float,
    key_file: Path,
) -> tuple[GateDecision, str]:
    """Record a person's override of a decision, signed; returns it with its envelope.

    The gate's answer stays what it was: what is stored, announced and audited is `overridden`.
    Raises BadInputError (see `retrain.gate.override`), also for a revoked decision.
    """
    stored = find(connection, decision_id)
    if stored.revoked_at_s is not None:
        raise BadInputError("the decision was revoked; ask the gate again", "decision_id")
    made = override(
        stored.decision,
        by=by,
        requested_by=requested_by,
        reason=reason,
        until_s=until_s,
        now_s=now_s,
        longest_s=longest_s,
    )
    envelope = sign(made, key_file)
    record(connection, made, envelope)
    details = {
        "overrides": decision_id,
        "answer": made.answer.value,
        "reasons": list(made.reasons),
        "requested_by": requested_by,
        "reason": reason,
        "expires_at_s": until_s,
        "subject_digest": made.subject_digest,
    }
    audit.append(
        connection,
        by=by,
        action="decision.overridden",
        subject=made.decision_id,
        details=details,
        at_s=now_s,
    )
    return made, envelope


def revoke(connection: Connection, decision_id: str, *, by: str, reason: str, at_s: float) -> None:
    """Withdraw a decision: guards that read the list of revoked ones refuse it from then on.

    Raises UnknownDecisionError; revoking twice keeps the first time and tells nobody again.
    """
    stored = find(connection, decision_id)
    table = gate_decisions.c
    changed = connection.execute(
        update(gate_decisions)
        .where(table.decision_id == decision_id, table.revoked_at_s.is_(None))
        .values(revoked_at_s=at_s)
    )
    if changed.rowcount:
        _announce(connection, stored.decision, stored.envelope, REVOKED, at_s)
    audit.append(
        connection,
        by=by,
        action="decision.revoked",
        subject=decision_id,
        details={"reason": reason},
        at_s=at_s,
    )


def revoked_ids(connection: Connection) -> list[str]:
    """Ids of all revoked decisions, for the file that guards read."""
    table = gate_decisions.c
    query = select(table.decision_id).where(table.revoked_at_s.is_not(None))
    return list(connection.execute(query.order_by(table.decision_id)).scalars())
