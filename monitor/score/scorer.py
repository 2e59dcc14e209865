"""A response as the probes read it, and the assessment of one that they could not measure."""

from __future__ import annotations

from evidence import Assessment, Response, Stakes, VerdictKind
from probes.probe import Transcript


def transcript_of(response: Response) -> Transcript:
    """The response as the probes read it: without user, time or segment."""
    return Transcript(
        id=response.response_id,
        messages=response.messages,
        model=response.model,
        high_stakes=response.stratum.stakes is Stakes.HIGH,
    )


def failed(version: str, reason: str) -> Assessment:
    """The assessment of a response that could not be measured: missing, never honest."""
    return Assessment(
        kind=VerdictKind.ERROR,
        p_lie=None,
        p_evasion=None,
        measurements=(),
        evaluator_version=version,
        error=reason,
    )
