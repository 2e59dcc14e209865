"""From a signal or a response to the rows of a file and the decisions about them, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec
from sqlalchemy import Connection

from candor_guard.rows import Row, manifest
from candor_guard.rows.removed import removed_positions
from evidence import BadInputError
from monitor.services.person import Sees, sees_all
from monitor.store import decisions as store
from monitor.store.decisions import StoredDecision
from retrain.signing import read_decision


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows are wanted: those that name all of the given ids."""

    feedback_id: str | None = None
    response_id: str | None = None
    decision_id: str | None = None


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision says of one row: whether it may be trained on it, unless it was revoked."""

    decision_id: str
    answer: str
    may_train: bool
    revoked: bool
    overridden_by: str | None


class TracedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the file, by its 0-based position, with every decision about the file."""

    index: int
    digest: str
    source: str | None
    response_id: str | None
    feedback_id: str | None
    rater: str | None
    decisions: tuple[Use, ...]


class _About(msgspec.Struct, frozen=True):
    """A decision about the file, and the positions that it took out."""

    stored: StoredDecision
    removed: frozenset[int]

    def use(self, index: int) -> Use:
        stored = self.stored
        releases = stored.subject_digest is not None
        kept = index not in self.removed or stored.overridden_by is not None
        return Use(
            decision_id=stored.decision_id,
            answer=stored.answer,
            may_train=releases and kept,
            revoked=stored.revoked_at_s is not None,
            overridden_by=stored.overridden_by,
        )


def trace(
    connection: Connection,
    rows: Callable[[], Iterable[Row]],
    sought: Sought,
    *,
    sees: Sees = sees_all,
) -> Iterator[TracedRow]:
    """The rows that are sought, with what each decision about these very rows says of them.

    With a decision only the rows that may be trained on it. Raises BadInputError for a decision that is
    not about these rows.
    """
    about = [
        found
        for found in _decisions(connection, manifest(rows()).digest, sees)
        if sought.decision_id in {None, found.stored.decision_id}
    ]
    if sought.decision_id is not None and not about:
        raise BadInputError("no such decision is about these rows", sought.decision_id)
    for index, row in enumerate(rows()):
        origin = row.provenance
        if sought.feedback_id not in {None, origin.feedback_id}:
            continue
        if sought.response_id not in {None, origin.response_id}:
            continue
        uses = tuple(found.use(index) for found in about)
        if sought.decision_id is not None and not uses[0].may_train:
            continue
        yield TracedRow(
            index=index,
            digest=row.digest().hex(),
            source=origin.source,
            response_id=origin.response_id,
            feedback_id=origin.feedback_id,
            rater=origin.rater,
            decisions=uses,
        )


def _decisions(connection: Connection, rows_digest: str, sees: Sees) -> Iterator[_About]:
    """Decisions about these rows, or that released just them."""
    for stored in store.every(connection):
        if not sees(stored.assistant):
            continue
        decision = read_decision(stored.envelope)
        if decision.all_rows.digest == rows_digest:
            yield _About(stored, removed_positions(decision.removed_bitmap()))
        elif stored.subject_digest == rows_digest:
            yield _About(stored, frozenset())
