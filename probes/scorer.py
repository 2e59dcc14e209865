"""What turns transcripts into assessments; `probes.panel.Panel` is the real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from evidence import Assessment
from evidence.records import SensorFigures
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

    @property
    def figures(self) -> Sequence[SensorFigures]:
        """What was measured of it, for each assistant that it was fitted to."""
        ...

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        """One assessment for each transcript, in order."""
        ...
