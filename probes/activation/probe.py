"""The activation probe: reads a response through a reader model and scores its hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evidence import BadInputError, Measurement, digest
from probes.activation.artefact import DEFAULT, Artefact, Card, load
from probes.activation.forms import SHORT
from probes.activation.reader import Reader, Reading
from probes.models.states import StateReader
from probes.probe import Transcript


class ActivationProbe:
    """Calibrated p_lie from hidden states; abstains on what is unlike its training transcripts."""

    name = "activation"

    def __init__(self, reader: Reader, artefact: Artefact) -> None:
        self._reader, self._artefact = reader, artefact
        self._version = digest("activation-1", reader.model.digest, artefact.version)[:16]

    @classmethod
    def open(cls, model: StateReader, directory: Path = DEFAULT) -> ActivationProbe:
        """The artefact in `directory` on its reader. Raises BadInputError when they do not match."""
        artefact = load(directory)
        card = artefact.card
        if card.reader_digest != model.digest:
            raise BadInputError(
                f"was fitted to another reader ({card.reader} in {card.dtype}, not {model.name} in"
                f" {model.dtype}); fit one with `candor probe fit`",
                str(directory),
            )
        return cls(Reader(model, (card.layer,), card.max_tokens, card.view), artefact)

    @property
    def version(self) -> str:
        return self._version

    @property
    def card(self) -> Card:
        return self._artefact.card

    def measure(self, transcripts: Sequence[Transcript]) -> list[Measurement]:
        """Measure a batch in order; an empty response abstains."""
        return [self._measurement(reading) for reading in self._reader.read(transcripts)]

    def _measurement(self, reading: Reading) -> Measurement:
        form = "short" if reading.n_response <= SHORT else "long"
        head = self._artefact.heads.get(form)
        if not reading.n_response:
            return self._abstained("empty response", reading)
        if head is None:
            return self._abstained(f"never trained on {form} responses", reading)
        features = reading.features[:1]
        distance = float(head.distance(features)[0])
        if distance > head.limit:
            return self._abstained("unlike the training transcripts", reading, distance)
        return Measurement(
            probe=self.name,
            version=self._version,
            p_lie=float(head.p_lie(features)[0]),
            answers={"distance": distance / head.limit},
            tokens=reading.n_tokens,
        )

    def _abstained(
        self, reason: str, reading: Reading, distance: float | None = None
    ) -> Measurement:
        return Measurement(
            probe=self.name,
            version=self._version,
            abstained=reason,
            answers={} if distance is None else {"distance": distance},
            tokens=reading.n_tokens,
        )
