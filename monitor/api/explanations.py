"""Verdicts as the API shows them, with what quotes text for those who may read text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from evidence import Verdict
from evidence.records import Finding
from monitor.api.models import ProbeFindingOut, TokenOut, at_known
from monitor.http.access import Principal, Scope
from monitor.store.explanations import Explanation, read_explanations


def shown_explanations(
    connection: Connection, principal: Principal, verdicts: Sequence[Verdict]
) -> dict[str, Explanation]:
    """What verdicts rest on, by key; nothing for a principal who may not read text."""
    if not principal.may(Scope.REVIEW):
        return {}
    return read_explanations(connection, [verdict.key for verdict in verdicts])


def verdict_fields(verdict: Verdict, known: Explanation | None) -> dict[str, Any]:
    """The fields of a verdict, with its claim where `known` is shown."""
    finding = known.finding if known else None
    assessment = verdict.assessment
    return {
        "key": verdict.key,
        "assistant": verdict.stratum.assistant,
        "response_id": verdict.response_id,
        "segment": verdict.stratum.segment,
        "stakes": verdict.stratum.stakes.value,
        "model": verdict.model,
        "purpose": verdict.purpose.value,
        "repeat": verdict.repeat,
        "kind": assessment.kind,
        "p_lie": assessment.p_lie,
        "p_evasion": assessment.p_evasion,
        "sampled_by": verdict.sampled_by.value,
        "inclusion_probability": verdict.inclusion_probability,
        "evaluator_version": assessment.evaluator_version,
        "created_at": at_known(verdict.created_at_s),
        "scored_at": at_known(verdict.scored_at_s),
        "error": assessment.error,
        "archetype": assessment.archetype,
        "claim": _said(finding.claim) if finding else None,
        "contradicts": _said(finding.contradicts) if finding else None,
        "measurements": [
            {name: getattr(m, name) for name in m.__struct_fields__ if name != "finding"}
            for m in assessment.measurements
        ],
    }


def finding_fields(known: Explanation | None) -> dict[str, Any]:
    """The tokens of a verdict, and what each probe found; nulls where nothing is shown."""
    if known is None:
        return {"tokens": None, "findings": None}
    finding = known.finding
    return {
        "tokens": _tokens(finding) if finding and finding.tokens else None,
        "findings": {
            name: ProbeFindingOut(
                claim=_said(one.claim),
                contradicts=_said(one.contradicts),
                tokens=_tokens(one),
                answers=list(one.answers),
                answered_by=_said(one.answered_by),
            )
            for name, one in known.probes.items()
        },
    }


def _tokens(finding: Finding) -> list[TokenOut]:
    pairs = zip(finding.tokens, finding.nats, strict=False)
    return [TokenOut(token=token, nats=nats) for token, nats in pairs]


def _said(text: str) -> str | None:
    return text or None
