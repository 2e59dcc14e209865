"""A scorer without a model: what a text says of itself decides."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from evidence import Assessment, VerdictKind
from probes.probe import Transcript


class WordScorer:
    """Calls a response a lie when it contains the word `never`."""

    version = "word-scorer-1"

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        return [self._assess(transcript.response) for transcript in transcripts]

    def _assess(self, text: str) -> Assessment:
        lie = "never" in text
        return Assessment(
            kind=VerdictKind.LIE if lie else VerdictKind.HONEST,
            p_lie=0.95 if lie else 0.05,
            p_evasion=0.01,
            measurements=(),
            evaluator_version=self.version,
        )


@pytest.fixture
def scorer() -> WordScorer:
    return WordScorer()
