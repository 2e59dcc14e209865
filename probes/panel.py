"""The probes together: measure a batch, go on where it pays, fuse."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import msgspec

from evidence import Assessment, CandorError, Measurement, digest
from evidence.records import SensorFigures
from probes.cascade import CascadeOptions, goes_on, propensity
from probes.fusion import Fusion
from probes.injections.guard import read_guarded
from probes.injections.guard import version as guard_version
from probes.probe import Probe, Transcript
from probes.scorer import OneEvaluator

log = logging.getLogger(__name__)

PROPENSITY = "propensity"
"""Key in the `answers` of a dearer probe's measurement: the chance with which it ran."""


class Panel(OneEvaluator):
    """Scores transcripts with all probes and fuses what they found.

    Parameters
    ----------
    probes
        The first is the cheap one and runs on every response.
    fusion
        Makes a calibrated p_lie and a verdict of whatever ran.
    cascade
        When the others run; None runs them on every response.
    micro_batch
        Transcripts handed to a probe at once, alike in length.
    """

    def __init__(
        self,
        probes: Sequence[Probe],
        fusion: Fusion,
        cascade: CascadeOptions | None = None,
        *,
        micro_batch: int = 32,
    ) -> None:
        if not probes:
            raise ValueError("a panel has at least one probe")
        self.probes, self.fusion, self.cascade = tuple(probes), fusion, cascade
        self._micro_batch = micro_batch
        parts = [f"{probe.name}={probe.version}" for probe in self.probes]
        rules = cascade.model_dump_json() if cascade else "all"
        self._version = digest("panel-3", *parts, fusion.version, rules, guard_version())[:16]

    @property
    def version(self) -> str:
        """Digest of the probes, the fusion and the cascade: the evaluator version of a verdict."""
        return self._version

    @property
    def calibrated(self) -> bool:
        """Whether the fusion was fitted to these probes, in these versions."""
        return self.fusion.fits({probe.name: probe.version for probe in self.probes})

    @property
    def figures(self) -> tuple[SensorFigures, ...]:
        """Nothing: the shipped fusion was measured on no assistant of the user's."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(probe.name for probe in self.probes)

    def score(
        self, transcripts: Sequence[Transcript], *, measured: Callable[[int], None] | None = None
    ) -> list[Assessment]:
        """One assessment for each transcript, in order; bad text is an `error`, never an exception.

        `measured` is called after each micro-batch with how many are done.
        """
        order = sorted(range(len(transcripts)), key=lambda i: -_length(transcripts[i]))
        out: list[Assessment | None] = [None] * len(transcripts)
        for start in range(0, len(order), self._micro_batch):
            part = order[start : start + self._micro_batch]
            for i, found in zip(part, self._measure([transcripts[j] for j in part]), strict=True):
                out[i] = self._assess(found)
            if measured is not None:
                measured(start + len(part))
        return [assessment for assessment in out if assessment is not None]

    def _measure(self, batch: Sequence[Transcript]) -> list[list[Measurement]]:
        cheap = _safely(self.probes[0], batch)
        found = [[measurement] for measurement in cheap]
        chances = [
            propensity(transcript, first, self.cascade) if self.cascade else 1.0
            for transcript, first in zip(batch, cheap, strict=True)
        ]
        picked = [i for i, t in enumerate(batch) if goes_on(t, chances[i], self._version)]
        for probe in self.probes[1:] if picked else ():
            measured = _safely(probe, [batch[i] for i in picked])
            for i, measurement in zip(picked, measured, strict=True):
                found[i].append(_with_propensity(measurement, chances[i]))
        return found

    def _assess(self, measurements: Sequence[Measurement]) -> Assessment:
        reading = self.fusion.read(measurements)
        return Assessment(
            kind=reading.kind,
            p_lie=reading.p_lie,
            p_evasion=reading.p_evasion,
            measurements=tuple(measurements),
            evaluator_version=self._version,
            error=reading.error,
        )


def _safely(probe: Probe, batch: Sequence[Transcript]) -> list[Measurement]:
    """Measurements of a batch, guarded against what speaks to an evaluator.

    What a probe raises becomes the `error` of the transcript it was on.
    """
    try:
        found = read_guarded(probe.measure, batch)
        if len(found) == len(batch):
            return found
        raise RuntimeError(f"{len(found)} results for {len(batch)} transcripts")
    except Exception as error:
        if len(batch) > 1 and not isinstance(error, CandorError):
            log.warning("probe %s failed on a batch, trying one by one: %r", probe.name, error)
            return [_safely(probe, [transcript])[0] for transcript in batch]
        log.warning("probe %s failed: %r", probe.name, error)
        reason = str(error) if isinstance(error, CandorError) else type(error).__name__
        return [Measurement(probe=probe.name, version=probe.version, error=reason) for _ in batch]


def _with_propensity(measurement: Measurement, chance: float) -> Measurement:
    answers = {**measurement.answers, PROPENSITY: chance}
    return msgspec.structs.replace(measurement, answers=answers)


def _length(transcript: Transcript) -> int:
    return sum(len(message.content) for message in transcript.messages)
