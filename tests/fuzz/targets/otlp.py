"""OTLP/JSON trace exports on the responses topic."""

from __future__ import annotations

from monitor.ingest.decode import decode_responses
from tests.fuzz.checks import GIVEN, outcome
from tests.fuzz.choices import Choices
from tests.fuzz.documents import EXPORTS, bent_export
from tests.fuzz.mutation import seeds_of, written
from tests.fuzz.target import Target


def make(choices: Choices) -> bytes:
    if choices.chance(3):
        return seeds_of(EXPORTS, choices)
    return written(bent_export(choices), choices)


TARGET = Target("otlp", make, lambda raw: outcome(decode_responses(raw, **GIVEN)))
