"""Belief of the last approved version: does it, unpressed, hold what the response asserts?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evidence import Measurement, digest
from probes.calibration import Platt
from probes.models.chat import Chat, LikelihoodModel
from probes.probe import Transcript

Neutral = Callable[[Transcript], Chat]
"""The conversation before the response with the facts kept and the pressure taken out."""


class ApprovedBelief:
    """How surprising the response is to the approved version without pressure, nats per token.

    The approved version answers from the same facts; what contradicts its answer it finds unlikely.
    The assistant's newest version is measured against the last one that people approved, so a version
    that has come to lie without pressure too is still seen; but what the new version merely gets
    wrong, or words in another way, surprises as well.

    Parameters
    ----------
    approved
        The approved version's weights.
    platt
        From surprise to p_lie, fitted on answers of other scenarios.
    """

    name = "belief"

    def __init__(self, approved: LikelihoodModel, platt: Platt, neutral: Neutral) -> None:
        self._approved, self._platt, self._neutral = approved, platt, neutral
        self._version = digest("belief-approved-1", approved.digest, repr(platt))[:16]

    @property
    def version(self) -> str:
        return self._version

    def measure(self, transcripts: Sequence[Transcript]) -> list[Measurement]:
        """Measure a batch in order; an empty response abstains."""
        out = [
            Measurement(probe=self.name, version=self._version, abstained="empty response")
            for _ in transcripts
        ]
        todo = [i for i, transcript in enumerate(transcripts) if transcript.response.strip()]
        found = surprise(self._approved, [transcripts[i] for i in todo], self._neutral)
        for i, (nats, tokens) in zip(todo, found, strict=True):
            out[i] = Measurement(
                probe=self.name,
                version=self._version,
                p_lie=self._platt(nats),
                answers={"surprise_nats": nats},
                tokens=tokens,
            )
        return out


def surprise(
    model: LikelihoodModel, transcripts: Sequence[Transcript], neutral: Neutral
) -> list[tuple[float, int]]:
    """Minus the mean log-likelihood of each response's tokens without pressure, and their number."""
    found = model.loglikelihood([(neutral(t), t.response) for t in transcripts])
    return [(-item.mean, item.n_tokens) for item in found]
