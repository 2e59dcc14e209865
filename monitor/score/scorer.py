"""What turns transcripts into assessments; `probes.Panel` is the real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from evidence import Assessment, Response, Stakes, VerdictKind
from probes.probe import Transcript


class Scorer(Protocol):
    """Measures and fuses a batch."""

    @property
    def version(self) -> str:
        """Digest of everything that changes a result; the evaluator version of its verdicts."""
        ...

    @property
    def calibrated(self) -> bool:
        """Whether what fuses its probes was fitted to these very probes."""
        ...

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        """One assessment for each transcript, in order."""
        ...


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
