"""Which single rows are kept out of training, and why."""

from __future__ import annotations

import msgspec

from candor_guard.rows import Provenance, Row
from evidence import VerdictKind
from retrain.context import GateContext, RaterEvidence, VerdictEvidence
from retrain.marks import is_marked
from retrain.policy import Policy
from retrain.reason import Reason
from retrain.sources import RowSet, trained_digest
from retrain.stored import Stored


class _Origin(msgspec.Struct, frozen=True, gc=False):
    """What the policy says of one source and version: why none of its rows may train, or what vouches for them."""

    refused: Reason | None
    is_stored: bool
    is_registered: bool
    needs_verdict: bool


_OF_VERDICT = {kind: Reason(f"verdict_{kind.value}") for kind in VerdictKind}


class Quarantine:
    """The row rule of one policy under one context, for one pass over the rows in their order: of rows
    with one id the first is kept. `reason` takes constant time.

    Rows of measured sources must be what the store holds (`retrain.stored`), rows of trusted sources must
    be in the registered set, and rows of believed sources pass on their declaration; none passes as probe
    traffic, from a forgotten, suspect or coordinated rater, or where training showed its pull towards lying. A row that trains against its response
    (KTO with a false label) is not quarantined for that response's lie.
    """

    def __init__(self, context: GateContext, policy: Policy) -> None:
        self._context = context
        self._policy = policy
        self._blocked = frozenset(policy.blocked_sources)
        self._trusted = frozenset(policy.trusted_sources)
        self._believed = frozenset(policy.believed_sources)
        self._sources = {name: RowSet(digests) for name, digests in context.sources.items()}
        self._measured = frozenset(policy.measured_sources)
        self._verdicts = frozenset(policy.quarantine_verdicts)
        self._influence = context.influences
        self._stored = Stored(context)
        self._seen: set[tuple[str | None, str | None]] = set()
        self._origins: dict[tuple[str | None, str | None], _Origin] = {}

    def reason(self, row: Row) -> Reason | None:
        """Why the row is kept out, or None when it may train."""
        if row.unreadable:
            return Reason.UNREADABLE
        origin = row.provenance
        if origin.response_id in self._context.probe_traffic or is_marked(row):
            return Reason.PROBE_TRAFFIC
        of = self._origins.get((origin.source, origin.source_version)) or self._of_source(origin)
        reason = of.refused or self._by_rater(origin.rater)
        if reason is None and of.is_stored:
            reason = self._by_store(row)
        elif reason is None and of.is_registered:
            reason = self._by_registered(row)
        if reason is not None:
            return reason
        if of.needs_verdict:
            verdict = self._context.verdicts.get(self.measured_name(row))
            if verdict is None:
                return Reason.UNMEASURED
            reason = self._by_verdict(verdict, row)
        reason = reason or self._by_influence(origin.response_id)
        if reason is None:
            self._seen.add((origin.response_id, origin.rater))
        return reason

    def measured_name(self, row: Row) -> str:
        """The name of the text in the context's verdicts: the response's id, or an edit's own name."""
        return self._stored.measured_name(row)

    def good_row_lost(self, row: Row, reason: Reason) -> float:
        """Expected number of good rows (0 to 1) lost by removing the row: 1 − p_lie where measured.

        An unmeasured row, or one whose measurement failed, counts as wholly good: the dearest case.
        """
        verdict = self._context.verdicts.get(self.measured_name(row))
        if verdict is None or verdict.p_lie is None or reason is Reason.PROBE_TRAFFIC:
            return 0.0 if reason is Reason.PROBE_TRAFFIC else 1.0
        return 1.0 - verdict.p_lie

    def _of_source(self, origin: Provenance) -> _Origin:
        source, version = origin.source, origin.source_version
        names = {source, f"{source}@{version}"}
        is_stored = not self._measured.isdisjoint(names)
        is_believed = not self._believed.isdisjoint(names)
        needs_verdict = not is_believed and self._trusted.isdisjoint(names)
        refused = None
        if not self._blocked.isdisjoint(names):
            refused = Reason.BLOCKED_SOURCE
        elif source is None or (needs_verdict and not is_stored):
            refused = Reason.UNKNOWN_ORIGIN
        made = _Origin(refused, is_stored, not is_believed, needs_verdict)
        self._origins[source, version] = made
        return made

    def _by_registered(self, row: Row) -> Reason | None:
        origin = row.provenance
        held = self._sources.get(f"{origin.source}@{origin.source_version}", ())
        return None if trained_digest(row) in held else Reason.NOT_OF_SOURCE

    def _by_store(self, row: Row) -> Reason | None:
        reason = self._stored.mismatch(row)
        origin = row.provenance
        if reason is None and (origin.response_id, origin.rater) in self._seen:
            return Reason.REPEATED_ID
        return reason

    def _by_rater(self, rater: str | None) -> Reason | None:
        if rater is None:
            return None
        if rater in self._context.forgotten:
            return Reason.FORGOTTEN
        found = self._context.raters.get(rater)
        return None if found is None else self._by_rater_evidence(found)

    def _by_rater_evidence(self, rater: RaterEvidence) -> Reason | None:
        policy = self._policy
        if policy.suspect_raters and rater.status == "suspect":
            return Reason.SUSPECT_RATER
        if rater.p_biased is not None and rater.p_biased > policy.max_p_biased:
            return Reason.SUSPECT_RATER
        if policy.coordination_groups and rater.group is not None:
            return Reason.COORDINATION_GROUP
        return None

    def _by_verdict(self, verdict: VerdictEvidence, row: Row) -> Reason | None:
        if not row.endorses:
            return Reason.ERROR if verdict.kind is VerdictKind.ERROR else None
        if verdict.contradicted and self._policy.contradicted_by_tools:
            return Reason.CONTRADICTED
        if verdict.kind in self._verdicts:
            return _OF_VERDICT[verdict.kind]
        if verdict.p_lie is not None and verdict.p_lie > self._policy.max_p_lie:
            return Reason.P_LIE
        return None

    def _by_influence(self, response_id: str | None) -> Reason | None:
        limit = self._policy.max_influence
        if limit is None or response_id is None:
            return None
        influence = self._influence.get(response_id)
        return Reason.INFLUENCE if influence is not None and influence > limit else None
