"""Scorers of several assistants as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from evidence import Assessment
from evidence.records import SensorFigures
from probes.probe import Transcript
from probes.scorer import Evaluator, Scorer


class AssistantScorers:
    """Hands each transcript to the scorer of its assistant.

    Parameters
    ----------
    default
        For every assistant without a scorer of its own, and for transcripts that name none.
    by_name
        Scorers by the name of their assistant.
    """

    def __init__(self, default: Scorer, by_name: Mapping[str, Scorer]) -> None:
        self._default, self._by_name = default, dict(by_name)
        self._evaluators = _distinct(default, self._by_name)

    @property
    def evaluators(self) -> tuple[Evaluator, ...]:
        return self._evaluators

    def version_of(self, assistant: str) -> str:
        return self._of(assistant).version_of(assistant)

    @property
    def figures(self) -> tuple[SensorFigures, ...]:
        """What was measured of each sensor, by the assistant that it measures."""
        return (
            *self._default.figures,
            *(
                msgspec.structs.replace(one, assistant=name)
                for name, scorer in sorted(self._by_name.items())
                for one in scorer.figures
            ),
        )

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        """One assessment for each transcript, in order; each scorer gets its own as one batch."""
        places: dict[int, list[int]] = {}
        for place, transcript in enumerate(transcripts):
            places.setdefault(id(self._of(transcript.assistant)), []).append(place)
        found: dict[int, Assessment] = {}
        for own in places.values():
            scorer = self._of(transcripts[own[0]].assistant)
            made = scorer.score([transcripts[place] for place in own])
            found.update(zip(own, made, strict=True))
        return [found[place] for place in range(len(transcripts))]

    def _of(self, assistant: str) -> Scorer:
        return self._by_name.get(assistant, self._default)


def _distinct(default: Scorer, by_name: Mapping[str, Scorer]) -> tuple[Evaluator, ...]:
    """Each version once, first that of the default, which names no assistants."""
    (common,) = (one for one in default.evaluators if not one.assistants)
    named: dict[str, list[str]] = {}
    known = {common.version: common}
    for assistant, scorer in sorted(by_name.items()):
        version = scorer.version_of(assistant)
        (own,) = (one for one in scorer.evaluators if one.version == version)
        known.setdefault(version, own)
        named.setdefault(version, []).append(assistant)
    named.pop(common.version, None)
    return (
        common,
        *(
            msgspec.structs.replace(known[version], assistants=tuple(n))
            for version, n in named.items()
        ),
    )
