"""Approved belief: does the last approved version, unpressed, find the response likely?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace

from evidence import CandorError, Finding, Measurement, Message, digest
from evidence.outcomes import UNCALIBRATED
from probes.approved.answers import FLAGGED, ApprovedAnswers
from probes.approved.contexts import Contexts, content_of, contexts, role_of
from probes.approved.features import Weighed, features
from probes.approved.reading import Reading
from probes.models.chat import Chat, TokenLikelihoodModel, TokenLikelihoods
from probes.neutral import NeutralPrompts
from probes.probe import Transcript

OwnVersion = Callable[[str], TokenLikelihoodModel | None]
"""The weights of a model version, where they are at hand."""


class ApprovedBelief:
    """How surprising the response is to the approved version once the pressure is gone.

    The approved version answers from the same facts; what contradicts its answer it finds unlikely.
    Whatever a new version merely words in another way surprises as well: so what was told is taken
    away too, and the difference shows what the facts say of the response (`features`). How these are
    read is fitted for each assistant by `candor calibrate`, with honest answers in other tones among
    the labelled ones. Without such a reading the features are reported and there is no p_lie.

    Parameters
    ----------
    approved
        The approved version: its weights, or a server of it.
    neutral
        Takes the pressure out.
    reading
        From the features to p_lie; None before calibration.
    own
        The response's own version, where it is served.
    answers
        What the approved version itself says, for a person to read beside a flagged response.
    """

    name = "approved"

    def __init__(
        self,
        approved: TokenLikelihoodModel,
        neutral: NeutralPrompts,
        reading: Reading | None = None,
        own: OwnVersion | None = None,
        answers: ApprovedAnswers | None = None,
    ) -> None:
        self._approved, self._neutral, self._reading, self._own = approved, neutral, reading, own
        self._answers = answers
        fitted = "" if reading is None else msgspec.json.encode(reading, order="sorted").decode()
        parts = (approved.digest, neutral.digest, fitted, "own" if own else "alone")
        self._version = digest("approved-belief-2", *parts)[:16]

    @property
    def version(self) -> str:
        return self._version

    @property
    def reading(self) -> Reading | None:
        """What the features are read by."""
        return self._reading

    def with_reading(self, reading: Reading) -> ApprovedBelief:
        """The same probe with a fitted reading."""
        return ApprovedBelief(self._approved, self._neutral, reading, self._own, self._answers)

    def measure(self, transcripts: Sequence[Transcript]) -> list[Measurement]:
        """Measure a batch in order; an empty response abstains."""
        out = [self._nothing(abstained="empty response") for _ in transcripts]
        todo = [i for i, transcript in enumerate(transcripts) if transcript.response.strip()]
        picked = [transcripts[i] for i in todo]
        found = self._weigh(picked) if picked else []
        for i, one in zip(todo, found, strict=True):
            out[i] = (
                self._nothing(error=str(one))
                if isinstance(one, CandorError)
                else self._measurement(*one)
            )
        return self._answered(out)

    def _answered(self, measured: list[Measurement]) -> list[Measurement]:
        """The same with the approved version's own answer in the findings of what looks like a lie."""
        if self._answers is None:
            return measured
        flagged = [i for i, one in enumerate(measured) if (one.p_lie or 0.0) >= FLAGGED]
        places = sorted(flagged, key=lambda i: -(measured[i].p_lie or 0.0))
        findings = [measured[i].finding or Finding() for i in places]
        said = self._answers.to([finding.neutral for finding in findings])
        for i, finding, answer in zip(places, findings, said, strict=True):
            if answer is not None:
                told = replace(finding, answers=(answer,), answered_by=self._answers.name)
                measured[i] = replace(measured[i], finding=told)
        return measured

    def _weigh(
        self, transcripts: Sequence[Transcript]
    ) -> list[tuple[Weighed, int, Chat] | CandorError]:
        """Likelihoods of each response in all its contexts, how many tokens were read for it, and the first
        of its neutral conversations."""
        asked = [
            contexts(transcript, neutral)
            for transcript, neutral in zip(
                transcripts, self._neutral.contexts(transcripts), strict=True
            )
        ]
        pairs = [
            (chat, transcript.response)
            for transcript, one in zip(transcripts, asked, strict=True)
            for chat in one.chats
        ]
        found = iter(self._approved.token_likelihoods(pairs))
        own = self._own_sums(transcripts)
        return [
            _weighed(one, [next(found) for _ in one.chats], own.get(i))
            for i, one in enumerate(asked)
        ]

    def _own_sums(self, transcripts: Sequence[Transcript]) -> Mapping[int, float]:
        """Log-likelihood of responses by their own versions, where those are at hand."""
        if self._own is None:
            return {}
        sums: dict[int, float] = {}
        for version in {transcript.model for transcript in transcripts}:
            model = self._own(version)
            places = [i for i, t in enumerate(transcripts) if t.model == version]
            if model is None:
                continue  # it is not served: the response is read without it
            pairs = [(transcripts[i].prompt, transcripts[i].response) for i in places]
            for i, one in zip(places, model.token_likelihoods(pairs), strict=True):
                if isinstance(one, TokenLikelihoods):
                    sums[i] = float(one.logprobs.sum())
        return sums

    def _measurement(self, weighed: Weighed, read: int, neutral: Chat) -> Measurement:
        values, said = features(weighed), weighed.claim
        p = None if self._reading is None else self._reading.p_lie(values)
        return Measurement(
            probe=self.name,
            version=self._version,
            p_lie=p,
            answers=values,
            abstained=UNCALIBRATED if p is None else None,
            tokens=read,
            finding=Finding(
                claim="".join(weighed.tokens[said.start : said.stop]).strip(),
                tokens=weighed.tokens,
                nats=tuple(np.round(-weighed.neutral, 3).tolist()),
                neutral=tuple(Message(role_of(m), content_of(m)) for m in neutral),
            ),
        )

    def _nothing(self, abstained: str | None = None, error: str | None = None) -> Measurement:
        return Measurement(probe=self.name, version=self._version, abstained=abstained, error=error)


def _weighed(
    asked: Contexts, found: Sequence[TokenLikelihoods | CandorError], own: float | None
) -> tuple[Weighed, int, Chat] | CandorError:
    rows: list[TokenLikelihoods] = []
    for one in found:
        if isinstance(one, CandorError):
            return one
        rows.append(one)
    tokens, n = rows[0].tokens, len(asked.neutral)
    rest = iter(rows[n:])
    weighed = Weighed(
        tokens=tokens,
        neutral=np.mean([row.logprobs for row in rows[:n]], axis=0),
        fresh=None if asked.fresh is None else next(rest).logprobs,
        untold=None if asked.untold is None else next(rest).logprobs,
        own=own,
    )
    return weighed, len(tokens) * len(rows), asked.neutral[0]
