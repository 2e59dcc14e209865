"""What turns transcripts into assessments; `probes.panel.Panel` is the real one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from evidence import Assessment
from evidence.records import SensorFigures
from probes.probe import Transcript


class Evaluator(msgspec.Struct, frozen=True):
    """What a scorer measures some assistants with.

    Parameters
    ----------
    version
        Digest of everything that changes a result; the evaluator version of its verdicts.
    calibrated
        Whether what fuses its probes was fitted to these very probes.
    assistants
        Those that it measures; empty for the one that measures every assistant that no other names.
    probes
        Names of the probes that it runs.
    """

    version: str
    calibrated: bool
    assistants: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()


class Scorer(Protocol):
    """Measures and fuses a batch."""

    @property
    def evaluators(self) -> tuple[Evaluator, ...]:
        """What it measures with, each version once; exactly one names no assistants."""
        ...

    def version_of(self, assistant: str) -> str:
        """The version that an assistant is measured with."""
        ...

    @property
    def figures(self) -> Sequence[SensorFigures]:
        """What was measured of it, for each assistant that it was fitted to."""
        ...

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        """One assessment for each transcript, in order."""
        ...


class OneEvaluator(ABC):
    """The part of a scorer that says what it measures with, where that is one for all assistants."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Digest of everything that changes a result."""

    @property
    @abstractmethod
    def calibrated(self) -> bool:
        """Whether what fuses its probes was fitted to these very probes."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the probes that it runs, as far as it is made of any."""
        return ()

    @property
    def evaluators(self) -> tuple[Evaluator, ...]:
        return (Evaluator(self.version, self.calibrated, probes=self.names),)

    def version_of(self, assistant: str) -> str:  # noqa: ARG002 -- one for all
        return self.version


def evaluator_of(evaluators: Iterable[Evaluator], assistant: str) -> Evaluator | None:
    """The one of a scorer's evaluators that measures an assistant; None where there are none."""
    known = list(evaluators)
    named = (one for one in known if assistant in one.assistants)
    return next(named, next((one for one in known if not one.assistants), None))
