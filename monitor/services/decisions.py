"""Decisions on record: stored with their notice, found again, overridden by a person, withdrawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from candor_guard.rows import Row
from candor_guard.rows.removed import removed_positions
from evidence import BadInputError
from evidence.person import Person
from monitor.services.person import Sees, sees_all
from monitor.store import audit
from monitor.store import decisions as store
from monitor.store.decisions import StoredDecision, UnknownDecisionError
from monitor.store.gate_queues import ReviewItem
from monitor.store.gate_rows import GateRow, put_rows
from retrain.gate import GateDecision, override
from retrain.review import review_sample
from retrain.signing import read_decision, sign

DECIDED, OVERRIDDEN, REVOKED = "decided", "overridden", "revoked"


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


class OverrideOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants to let pass: for whom, why, and until when (seconds since the epoch)."""

    decision_id: str
    requested_by: str
    reason: str
    until_s: float


def record(
    connection: Connection,
    decision: GateDecision,
    envelope: str,
    *,
    released: Callable[[], Iterable[Row]] = tuple,
    overrides: str | None = None,
) -> bool:
    """Store a decision with its notice and what it did with rows, and queue 100 random rows of a release
    for review; False when it is there already.

    `released` hands out the rows that are not quarantined, anew at each call; `overrides` names the
    decision that an override lets pass.
    """
    overridden = decision.override
    stored = StoredDecision(
        decision_id=decision.decision_id,
        assistant=decision.assistant,
        answer=decision.answer.value,
        subject_digest=decision.subject_digest,
        envelope=envelope,
        created_at_s=decision.created_at_s,
        expires_at_s=decision.expires_at_s,
        overridden_by=None if overridden is None else overridden.by,
        requested_by=None if overridden is None else overridden.requested_by,
        overrides=overrides,
    )
    if not store.add(connection, stored):
        return False
    if overridden is None:
        taken_out, others = _taken_out(decision), _left_in(decision, released())
        put_rows(
            connection, decision.decision_id, decision.assistant, removed=taken_out, kept=others
        )
    event = DECIDED if overridden is None else OVERRIDDEN
    _announce(connection, stored, decision, event, decision.created_at_s)
    if decision.releases and overridden is None:
        store.queue_review(connection, list(_to_read(decision, released())))
    return True


def find(
    connection: Connection, decision_id: str, *, sees: Sees = sees_all
) -> tuple[StoredDecision, GateDecision]:
    """A decision by its id, as stored and as decided.

    Raises UnknownDecisionError, also for one of an assistant that who asks may not see.
    """
    stored = store.find(connection, decision_id)
    if not sees(stored.assistant):
        raise UnknownDecisionError(f"no decision has the id {decision_id!r}", "decision_id")
    return stored, read_decision(stored.envelope)


def override_decision(
    connection: Connection,
    order: OverrideOrder,
    by: Person,
    *,
    now_s: float,
    longest_s: float,
    key_file: Path,
    sees: Sees = sees_all,
) -> tuple[GateDecision, str]:
    """Record a person's override of a decision, signed; returns it with its envelope.

    The gate's answer stays what it was: what is stored, announced and audited is `overridden`.
    Raises BadInputError (see `retrain.gate.override`), also for a revoked decision.
    """
    stored, decision = find(connection, order.decision_id, sees=sees)
    if stored.revoked_at_s is not None:
        raise BadInputError("the decision was revoked; ask the gate again", "decision_id")
    made = override(
        decision,
        by=by,
        requested_by=order.requested_by,
        reason=order.reason,
        until_s=order.until_s,
        now_s=now_s,
        longest_s=longest_s,
    )
    envelope = sign(made, key_file)
    record(connection, made, envelope, overrides=order.decision_id)
    details = {
        "overrides": order.decision_id,
        "answer": made.answer.value,
        "reasons": list(made.reasons),
        "requested_by": order.requested_by,
        "reason": order.reason,
        "expires_at_s": order.until_s,
        "subject_digest": made.subject_digest,
    }
    audit.append(
        connection,
        by=by.signed,
        action="decision.overridden",
        subject=made.decision_id,
        details=details,
        at_s=now_s,
    )
    return made, envelope


def revoke(
    connection: Connection,
    decision_id: str,
    by: Person,
    *,
    reason: str,
    now_s: float,
    sees: Sees = sees_all,
) -> None:
    """Withdraw a decision and what overrides it: guards that read the list of revoked ones refuse them
    from then on. Withdrawing an override leaves the decision.

    Raises UnknownDecisionError; revoking twice keeps the first time and tells nobody again.
    """
    stored, _ = find(connection, decision_id, sees=sees)
    overrides = store.overrides_of(connection, decision_id)
    for one in (stored, *overrides):
        if store.mark_revoked(connection, one.decision_id, at_s=now_s):
            _announce(connection, one, read_decision(one.envelope), REVOKED, now_s)
    audit.append(
        connection,
        by=by.signed,
        action="decision.revoked",
        subject=decision_id,
        details={"reason": reason, "overrides": [one.decision_id for one in overrides]},
        at_s=now_s,
    )


def _announce(
    connection: Connection,
    stored: StoredDecision,
    decision: GateDecision,
    event: str,
    now_s: float,
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
        overridden_by=stored.overridden_by,
        envelope=stored.envelope,
    )
    store.announce(connection, stored, event, msgspec.json.encode(notice), now_s=now_s)


def _taken_out(decision: GateDecision) -> Iterable[GateRow]:
    for row in decision.removed:
        yield GateRow(
            index=row.index,
            row_digest=row.digest,
            reason=row.reason.value,
            response_id=_storable(row.response_id),
            feedback_id=_storable(row.feedback_id),
        )


def _left_in(decision: GateDecision, released: Iterable[Row]) -> Iterable[GateRow]:
    """The other rows, with their positions among all of them."""
    gone = removed_positions(decision.removed_bitmap())
    places = (index for index in range(decision.all_rows.rows) if index not in gone)
    for index, row in zip(places, released, strict=False):
        yield GateRow(
            index=index,
            row_digest=row.digest().hex(),
            response_id=_storable(row.provenance.response_id),
            feedback_id=_storable(row.provenance.feedback_id),
        )


def _storable(name: str | None) -> str | None:
    """An id as a row of a file claims it; what is no id of any record is left out."""
    known = name is not None and len(name) <= 200 and name.isprintable()
    return name if known else None


def _to_read(decision: GateDecision, released: Iterable[Row]) -> Iterable[ReviewItem]:
    for row in review_sample(released, decision.released.rows, decision.decision_id):
        yield ReviewItem(
            assistant=decision.assistant,
            decision_id=decision.decision_id,
            row_digest=row.digest,
            response_id=row.response_id,
            inclusion_probability=row.inclusion_probability,
            queued_at_s=decision.created_at_s,
        )
