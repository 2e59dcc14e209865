"""The retrain gate: allow, quarantine, hold or block, from evidence alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

import msgspec

from candor_guard.rows import Manifest, ManifestBuilder, Row, removed_bitmap
from evidence import BadInputError, GateAnswer, canonical_json, digest
from evidence.person import Person, person
from retrain.bounds import read_in_both, unmeasured
from retrain.context import Coverage, GateContext
from retrain.holds import confirm_missing, holds, unreadable
from retrain.policy import Policy
from retrain.quarantine import Quarantine
from retrain.reason import Reason
from retrain.report import ArmResult, ConfirmReport, Finding


class RemovedRow(msgspec.Struct, frozen=True, gc=False):
    """A quarantined row: its 0-based position, its digest (hex), the reason, and the ids of its response and
    of the signal that chose it, if it names them."""

    index: int
    digest: str
    reason: Reason
    response_id: str | None = None
    feedback_id: str | None = None


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """A person's decision to train although the gate did not release. `by` names the key, too, where
    the person showed one of another name."""

    by: str
    requested_by: str
    reason: str
    expires_at_s: float


class GateDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of the gate.

    Parameters
    ----------
    answer, reasons
        The answer, and the codes (`code` or `code:detail`) that led to it.
    all_rows, released
        Manifests of the rows asked about and of those not quarantined.
    removed
        Every quarantined row with its reason.
    good_rows_lost
        Expected number of good rows among the removed ones.
    subject_digest
        What may be trained: the released rows for `allow` and `quarantine`, all rows under an
        override, else None.
    created_at_s, expires_at_s
        Seconds since the epoch, UTC.
    coverage
        How far the newest traffic was measured; None where that is not known.
    margin
        The loss of honesty, as a share of items, that the confirm run rules out for the released rows;
        None where nothing is released.
    model, model_digest
        Name and digest of the base model that the confirm run trained; None without a run.
    trainer_config
        SHA-256 of the job's own file of trainer settings that the confirm run followed; None without one.
    """

    decision_id: str
    assistant: str
    answer: GateAnswer
    reasons: tuple[str, ...]
    all_rows: Manifest
    released: Manifest
    removed: tuple[RemovedRow, ...]
    removed_by_reason: dict[str, int]
    good_rows_lost: float
    subject_digest: str | None
    policy_digest: str
    confirm_digest: str | None
    created_at_s: float
    expires_at_s: float
    coverage: Coverage | None = None
    margin: float | None = None
    model: str | None = None
    model_digest: str | None = None
    trainer_config: str | None = None
    override: Override | None = None
    removed_bits: str | None = None
    """The bitmap of removed rows of a decision read back from its envelope, which names no reasons."""
    schema_version: int = 1

    @property
    def releases(self) -> bool:
        """Whether anything may be trained on this decision."""
        return self.subject_digest is not None

    def removed_bitmap(self) -> str:
        """The removed rows as `candor_guard.rows.kept_rows` takes them."""
        if self.removed_bits is not None:
            return self.removed_bits
        return removed_bitmap((row.index for row in self.removed), self.all_rows.rows)


def decide(
    rows: Iterable[Row],
    context: GateContext,
    policy: Policy,
    *,
    now_s: float,
    surplus: Collection[int] = frozenset(),
) -> GateDecision:
    """Decide about `rows`, read once in constant memory beyond the removed ones.

    `surplus` are positions of rows that only repeat others (`retrain.duplicates.surplus_rows`).

    What a confirm run refused is blocked even while an alarm is open; everything else waits for
    the alarm. Missing or unsettled evidence holds; an established loss of honesty, or a confirm run that could
    not tell, blocks; only rows that a confirm run with an independent control found not worse are
    released. Nothing here reads a clock, a file or a store.
    """
    sieve = _Sieve(Quarantine(context, policy), frozenset(surplus))
    sieve.read(rows)
    everything, released = sieve.everything.build(), sieve.kept.build()
    removed_by = Counter(r.reason for r in sieve.removed)
    question = _Question(everything, released, context, policy, now_s, frozenset(sieve.in_doubt))
    # A response that the store does not know has no verdict either; it may be on its way. What the sensor
    # cannot tell was not measured.
    not_known = (Reason.UNMEASURED, Reason.UNKNOWN_RESPONSE, Reason.UNDECIDED)
    answer, reasons = question.answer(sum(removed_by[reason] for reason in not_known))
    subject = released.digest if answer in {GateAnswer.ALLOW, GateAnswer.QUARANTINE} else None
    confirm = None if context.confirm is None else context.confirm.digest
    identity = canonical_json(
        [context.assistant, everything.digest, released.digest, answer.value, list(reasons)]
    )
    return GateDecision(
        decision_id=digest(identity, policy.digest, confirm or "", repr(now_s))[:32],
        assistant=context.assistant,
        answer=answer,
        reasons=reasons,
        all_rows=everything,
        released=released,
        removed=tuple(sieve.removed),
        removed_by_reason={reason.value: removed_by[reason] for reason in sorted(removed_by)},
        good_rows_lost=sieve.good_rows_lost,
        subject_digest=subject,
        policy_digest=policy.digest,
        confirm_digest=confirm,
        created_at_s=now_s,
        expires_at_s=now_s + policy.expiry_s,
        coverage=context.coverage,
        margin=None if subject is None else question.margin(),
        model=None if context.confirm is None else context.confirm.model or None,
        model_digest=None if context.confirm is None else context.confirm.model_digest,
        trainer_config=None if context.confirm is None else context.confirm.trainer_config,
    )


_NO_DOUBT = frozenset({Reason.UNREADABLE, Reason.NEAR_DUPLICATE, Reason.FORGOTTEN})
"""Reasons that say nothing about what a row would teach."""


class _Sieve:
    """One pass over the rows."""

    def __init__(self, quarantine: Quarantine, surplus: frozenset[int]) -> None:
        self._quarantine, self._surplus = quarantine, surplus
        self.everything = ManifestBuilder()
        self.kept = ManifestBuilder()
        self.removed: list[RemovedRow] = []
        self.good_rows_lost = 0.0
        self.in_doubt: set[str | None] = set()
        """Sources of the rows that were removed for what they may teach."""

    def read(self, rows: Iterable[Row]) -> None:
        for index, row in enumerate(rows):
            row_digest = row.digest()
            self.everything.add(row, row_digest)
            reason = self._quarantine.reason(row)
            if reason is None and index in self._surplus:
                reason = Reason.NEAR_DUPLICATE
            if reason is None:
                self.kept.add(row, row_digest)
            else:
                origin = row.provenance
                self.removed.append(
                    RemovedRow(
                        index, row_digest.hex(), reason, origin.response_id, origin.feedback_id
                    )
                )
                self.good_rows_lost += self._quarantine.good_row_lost(row, reason)
                if reason not in _NO_DOUBT:
                    self.in_doubt.add(row.provenance.source)


class _Question(msgspec.Struct, frozen=True):
    """What is asked, once the rows were read."""

    everything: Manifest
    released: Manifest
    context: GateContext
    policy: Policy
    now_s: float
    in_doubt: frozenset[str | None]

    def answer(self, unmeasured: int) -> tuple[GateAnswer, tuple[str, ...]]:
        everything = self.everything.rows
        if everything == 0:
            return GateAnswer.BLOCK, ("no_rows",)
        nothing_known = unreadable(self.context)
        if nothing_known is not None:
            return GateAnswer.HOLD, (nothing_known,)
        removed = everything - self.released.rows
        # Whatever the share: where nothing is left, there is nothing to release.
        most = min(self.policy.max_removed_share * everything, everything - 1)
        if removed - unmeasured > most:
            return GateAnswer.BLOCK, (f"too_many_removed:{removed / everything:.3f}",)
        if removed > most:
            # What was never measured may be fine: scoring it is what is missing.
            return GateAnswer.HOLD, (f"too_many_unmeasured:{unmeasured / everything:.3f}",)
        answer, reasons = self._by_confirm()
        waits = holds(self.context, self.policy, now_s=self.now_s)
        if waits and answer is not GateAnswer.BLOCK:
            return GateAnswer.HOLD, (*reasons, *waits) if answer is GateAnswer.HOLD else waits
        return answer, (*reasons, *waits)

    def margin(self) -> float | None:
        """What the confirm run rules out for the released rows."""
        report = self.context.confirm
        arm = None if report is None else report.arm_for(self.released.digest)
        return None if report is None or arm is None else report.margin(arm.arm)

    def _by_confirm(self) -> tuple[GateAnswer, tuple[str, ...]]:
        """The subsets that the answer rests on must each be an arm of the report, measured, and not worse."""
        report = self.context.confirm
        missing = confirm_missing(self.context, self.policy, now_s=self.now_s)
        if report is None or missing is not None:
            return GateAnswer.HOLD, (missing or "confirm_missing",)
        whole = self.released.rows == self.everything.rows
        needed = [("rows", self.everything.digest)]
        if not whole:
            needed.append(("released_rows", self.released.digest))
        named: tuple[str, ...] = ()
        for what, rows_digest in needed:
            arm = report.arm_for(rows_digest)
            if arm is None:
                return GateAnswer.HOLD, (f"confirm_of_other_{what}",)
            refused, named = self._refused(report, arm)
            if refused is not None:
                return refused, named
        return (GateAnswer.ALLOW if whole else GateAnswer.QUARANTINE), named

    def _refused(
        self, report: ConfirmReport, arm: ArmResult
    ) -> tuple[GateAnswer | None, tuple[str, ...]]:
        """Why an arm's rows are not released; no answer where they are.

        What was found worse is so whatever else is missing: that finding rests on the best case.
        """
        finding = report.finding(arm.arm)
        named = (f"{finding.value}:{arm.arm.value}",)
        if finding is Finding.WORSE:
            return GateAnswer.BLOCK, named
        missing = unmeasured(report, arm, self.policy, self.in_doubt)
        if finding is Finding.UNREADABLE and not missing:
            missing = (f"unmeasured_answers:{arm.arm.value}:{read_in_both(report, arm)}",)
        if missing:
            return GateAnswer.HOLD, missing
        return (None if finding is Finding.NOT_WORSE else GateAnswer.BLOCK), named


def override(
    decision: GateDecision,
    *,
    by: Person | str,
    requested_by: str,
    reason: str,
    until_s: float,
    now_s: float,
    longest_s: float = 7 * 86_400.0,
) -> GateDecision:
    """The decision with a named person's override: its answer stays, all its rows become the subject.

    A person is told from the requester by their name and by the key that they showed, as people read
    names (`evidence.person`). Raises BadInputError when the person asks for themselves, gives no reason, the decision
    already releases, or the override would end in the past or more than `longest_s` from now.
    """
    acting, requester = by if isinstance(by, Person) else person(by), person(requested_by)
    if acting.may_be(requester.name):
        raise BadInputError("who asks for an override does not grant it", "requested_by")
    if not reason.strip():
        raise BadInputError("an override needs a reason", "reason")
    if decision.releases:
        raise BadInputError("the decision releases rows; there is nothing to override")
    if not now_s < until_s <= now_s + longest_s:
        raise BadInputError(
            f"an override ends in the future and within {longest_s / 86_400:g} days", "until"
        )
    return msgspec.structs.replace(
        decision,
        decision_id=digest(decision.decision_id, acting.signed, reason, repr(until_s))[:32],
        subject_digest=decision.all_rows.digest,
        created_at_s=now_s,
        expires_at_s=until_s,
        override=Override(
            by=acting.signed, requested_by=requester.name, reason=reason, expires_at_s=until_s
        ),
    )
