"""Published lie probes on the states of the model that they were made for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evidence import BadInputError, Measurement, Message, digest
from probes.activation.published_file import QUESTIONS, Published, read_published
from probes.models.encoding import Encoded
from probes.models.states import StateReader, States
from probes.probe import Transcript

MAX_TOKENS = 2048
_ANSWER_TOKENS = 4
_LARGEST = 15.0
_YES_NO = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)


class PublishedProbe:
    """A probe of the package lie-detectors, on hidden states of its model.

    It reads the mean score over the response. Where the probe has a follow-up question, the model
    is asked it in a user turn after the response, answers yes or no, and the mean score over that
    answer's tokens counts; any other answer makes the probe abstain.

    `p_lie` is one half at the authors' threshold (1 % of honest replies lie above it). It is a
    rising function of the score and nothing more: no probability until a fusion was fitted.
    """

    name = "activation"

    def __init__(self, model: StateReader, probe: Published) -> None:
        self._model, self._probe = model, probe
        parts = ("published-1", model.digest, probe.sha256, probe.question or "")
        self._version = digest(*parts)[:16]

    @classmethod
    def open(cls, model: StateReader, file: Path) -> PublishedProbe:
        """The probe in `file`. Raises BadInputError for a broken file or one of another model."""
        probe = read_published(file)
        if probe.width != model.width or probe.layer > model.n_layers:
            raise BadInputError(
                f"reads block {probe.layer} of a model of width {probe.width}; {model.name} has"
                f" {model.n_layers} of width {model.width}",
                str(file),
            )
        return cls(model, probe)

    @property
    def version(self) -> str:
        return self._version

    @property
    def question(self) -> str | None:
        """The follow-up question whose answer is read; None where the response is."""
        return self._probe.question

    def measure(self, transcripts: Sequence[Transcript]) -> list[Measurement]:
        """Measure a batch in order; an empty response abstains."""
        encoded = [
            self._model.encode(t.prompt, t.response, max_tokens=MAX_TOKENS) for t in transcripts
        ]
        said = [""] * len(encoded)
        if self.question is not None:
            asked = [i for i, item in enumerate(encoded) if item.response]
            for i, (item, word) in zip(asked, self._answers(transcripts, asked), strict=True):
                encoded[i], said[i] = item, word
        states = self._model.hidden(encoded, (self._probe.layer,))
        return [
            self._measurement(transcript, item, state, word)
            for transcript, item, state, word in zip(
                transcripts, encoded, states, said, strict=True
            )
        ]

    def _answers(
        self, transcripts: Sequence[Transcript], asked: Sequence[int]
    ) -> list[tuple[Encoded, str]]:
        """The conversation with the question and its yes or no; no response where there is none."""
        question = Message("user", self.question or "")
        chats = [(*transcripts[i].messages, question) for i in asked]
        out = []
        for chat, text in zip(
            chats, self._model.generate(chats, max_new_tokens=_ANSWER_TOKENS), strict=True
        ):
            match = _YES_NO.match(text)
            word = match.group(1) if match else ""
            out.append((self._model.encode(chat, word, max_tokens=MAX_TOKENS), word.lower()))
        return out

    def _measurement(
        self, transcript: Transcript, item: Encoded, states: States, said: str
    ) -> Measurement:
        if not item.response:
            empty = not transcript.response.strip()
            reason = "empty response" if empty else "the follow-up question got no yes or no"
            return Measurement(
                probe=self.name, version=self._version, abstained=reason, tokens=len(item)
            )
        margin = float(self._probe.scores(states[0]).mean()) - self._probe.threshold
        odds = float(np.clip(margin / self._probe.unit, -_LARGEST, _LARGEST))
        answers = {"margin": margin}
        if self.question is not None:
            answers["owned_up"] = float((said == "yes") == (self.question == QUESTIONS[0]))
        return Measurement(
            probe=self.name,
            version=self._version,
            p_lie=1.0 / (1.0 + float(np.exp(-odds))),
            answers=answers,
            tokens=len(item),
        )
