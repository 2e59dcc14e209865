"""An assessment together with how its response came to be measured, and apart from it what quotes text."""

from __future__ import annotations

import msgspec

from evidence import Assessment, Purpose, Response, SampledBy, Verdict, verdict_key
from monitor.store.explanations import Explanation


def make_verdict(
    response: Response,
    assessment: Assessment,
    *,
    sampled_by: SampledBy,
    inclusion_probability: float,
    scored_at_s: float,
    purpose: Purpose = Purpose.LIVE,
    repeat: int = 0,
) -> Verdict:
    """The verdict; its key hashes response, purpose, repeat and the versions that made it."""
    versions = {"evaluator": assessment.evaluator_version, "model": response.model}
    stratum = response.stratum
    return Verdict(
        key=verdict_key(stratum.assistant, response.response_id, purpose, repeat, versions),
        response_id=response.response_id,
        stratum=stratum,
        model=response.model,
        purpose=purpose,
        repeat=repeat,
        sampled_by=sampled_by,
        inclusion_probability=inclusion_probability,
        created_at_s=response.created_at_s,
        scored_at_s=scored_at_s,
        assessment=assessment,
    )


def without_text(verdict: Verdict) -> tuple[Verdict, Explanation | None]:
    """The verdict as it is kept and sent, and its findings, which quote text and live as long as it.

    None where no probe found anything to show.
    """
    assessment = verdict.assessment
    probes = {m.probe: m.finding for m in assessment.measurements if m.finding is not None}
    if assessment.finding is None and not probes:
        return verdict, None
    bare = msgspec.structs.replace(
        assessment,
        finding=None,
        measurements=tuple(
            msgspec.structs.replace(m, finding=None) for m in assessment.measurements
        ),
    )
    return (
        msgspec.structs.replace(verdict, assessment=bare),
        Explanation(finding=assessment.finding, probes=probes),
    )
