"""An assessment together with how its response came to be measured."""

from __future__ import annotations

from evidence import Assessment, Purpose, Response, SampledBy, Verdict, verdict_key


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
