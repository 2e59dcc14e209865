"""The probes together: measure a batch, go on where it pays, fuse."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from evidence import Assessment, CandorError, Measurement, VerdictKind, digest
from evidence.outcomes import UNCALIBRATED
from evidence.prevalence import tells_apart
from evidence.records import SensorFigures
from probes.cascade import CascadeOptions, goes_on, propensity
from probes.explained import explained
from probes.fusion import Fusion
from probes.injections.guard import read_guarded
from probes.injections.guard import version as guard_version
from probes.names import EVERYWHERE
from probes.probe import Probe, Transcript
from probes.refusal import RefusalRule
from probes.scorer import OneEvaluator

if TYPE_CHECKING:
    from probes.sensor.sensor import Sensor

log = logging.getLogger(__name__)

PROPENSITY = "propensity"
"""Key in the `answers` of a dearer probe's measurement: the chance with which it ran."""


class Panel(OneEvaluator):
    """Scores transcripts with all probes and fuses what they found.

    Parameters
    ----------
    probes
        The first is the cheap one and runs on every response; so do those that cost next to nothing.
    fusion
        Makes a calibrated p_lie and a verdict of whatever ran.
    cascade
        When the others run; None runs them on every response.
    micro_batch
        Transcripts handed to a probe at once, alike in length.
    refusal
        The verdict on bare refusals; without it the rule with its packaged rate.
    sensor
        What `candor calibrate` fitted the fusion to; None for the shipped fusion.
    """

    def __init__(
        self,
        probes: Sequence[Probe],
        fusion: Fusion,
        cascade: CascadeOptions | None = None,
        *,
        micro_batch: int = 32,
        refusal: RefusalRule | None = None,
        sensor: Sensor | None = None,
    ) -> None:
        if not probes:
            raise ValueError("a panel has at least one probe")
        self.probes, self.fusion, self.cascade = tuple(probes), fusion, cascade
        self._micro_batch, self._sensor = micro_batch, sensor
        self.refusal = refusal or RefusalRule()
        versions = {probe.name: probe.version for probe in self.probes}
        seeing = sensor is None or tells_apart(sensor.accuracy)
        self._calibrated = fusion.fits(versions) and seeing
        parts = [f"{name}={version}" for name, version in versions.items()]
        rules = cascade.model_dump_json() if cascade else "all"
        self._version = digest(
            "panel-4", *parts, fusion.version, rules, guard_version(), self.refusal.version
        )[:16]

    @property
    def version(self) -> str:
        """Digest of the probes, the fusion and the cascade: the evaluator version of a verdict."""
        return self._version

    @property
    def calibrated(self) -> bool:
        """Whether the fusion was fitted to these probes, in these versions, and the sensor was shown to
        tell lies from honest answers: a blind one would call half of everything a lie, or nothing."""
        return self._calibrated

    @property
    def figures(self) -> tuple[SensorFigures, ...]:
        """What its sensor was measured to see, as far as that is what runs.

        Nothing for the shipped fusion, which was measured on no assistant of the user's; nor at another
        prevalence than the sensor's, nor where a cascade leaves probes out: a share that is corrected by
        the errors of something else is wrong. Costs move what is called, not p_lie.
        """
        sensor, fusion = self._sensor, self.fusion
        dear = [probe for probe in self.probes[1:] if probe.name not in EVERYWHERE]
        whole = not dear or self.cascade is None
        if sensor is None or not whole or fusion.prevalence is not None:
            return ()
        return (
            SensorFigures(
                evaluator_version=self._version,
                assistant=sensor.assistant,
                accuracy=sensor.accuracy,
                prevalence=sensor.prevalence,
            ),
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(probe.name for probe in self.probes)

    def score(
        self, transcripts: Sequence[Transcript], *, measured: Callable[[int], None] | None = None
    ) -> list[Assessment]:
        """One assessment for each transcript, in order; bad text is an `error`, never an exception.

        `measured` is called after each micro-batch with how many are done.
        """
        refused = self.refusal.refusals(transcripts)
        asked = [i for i, t in enumerate(transcripts) if i not in refused or t.high_stakes]
        settled = len(transcripts) - len(asked)
        found = self.measurements(
            [transcripts[i] for i in asked],
            measured=None if measured is None else lambda done: measured(settled + done),
        )
        assessed = {
            i: self._assess(transcripts[i], row) for i, row in zip(asked, found, strict=True)
        }
        for i in refused:
            assessed[i] = self.refusal.assess(
                assessed.get(i),
                evasion_threshold=self.fusion.evasion_threshold,
                evaluator_version=self._version,
            )
        return [assessed[i] for i in range(len(transcripts))]

    def measurements(
        self, transcripts: Sequence[Transcript], *, measured: Callable[[int], None] | None = None
    ) -> list[list[Measurement]]:
        """What each probe that ran found about each transcript, in order, before any fusion."""
        order = sorted(range(len(transcripts)), key=lambda i: -_length(transcripts[i]))
        out: list[list[Measurement]] = [[] for _ in transcripts]
        for start in range(0, len(order), self._micro_batch):
            part = order[start : start + self._micro_batch]
            for i, found in zip(part, self._measure([transcripts[j] for j in part]), strict=True):
                out[i] = found
            if measured is not None:
                measured(start + len(part))
        return out

    def _measure(self, batch: Sequence[Transcript]) -> list[list[Measurement]]:
        cheap = _safely(self.probes[0], batch)
        found = [[measurement] for measurement in cheap]
        chances = [
            propensity(transcript, first, self.cascade) if self.cascade else 1.0
            for transcript, first in zip(batch, cheap, strict=True)
        ]
        picked = [i for i, t in enumerate(batch) if goes_on(t, chances[i], self._version)]
        for probe in self.probes[1:]:
            if probe.name in EVERYWHERE:
                for i, measurement in enumerate(_safely(probe, batch)):
                    found[i].append(measurement)
                continue
            if not picked:
                continue
            measured = _safely(probe, [batch[i] for i in picked])
            for i, measurement in zip(picked, measured, strict=True):
                found[i].append(_with_propensity(measurement, chances[i]))
        return found

    def _assess(self, transcript: Transcript, measurements: Sequence[Measurement]) -> Assessment:
        if not self.calibrated:
            return self._error(measurements, UNCALIBRATED)
        reading = self.fusion.read(measurements)
        archetype, finding = explained(
            transcript, reading.kind, measurements, self.fusion.parts(measurements)
        )
        return Assessment(
            kind=reading.kind,
            p_lie=reading.p_lie,
            p_evasion=reading.p_evasion,
            measurements=tuple(measurements),
            evaluator_version=self._version,
            error=reading.error,
            archetype=archetype,
            finding=finding,
        )

    def _error(self, measurements: Sequence[Measurement], reason: str) -> Assessment:
        return Assessment(
            kind=VerdictKind.ERROR,
            p_lie=None,
            p_evasion=None,
            measurements=tuple(measurements),
            evaluator_version=self._version,
            error=reason,
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
