"""OTLP exports on the responses topic, JSON and protobuf."""

from __future__ import annotations

from monitor.ingest.decode import decode_responses
from tests.fuzz.checks import GIVEN, outcome
from tests.fuzz.choices import Choices
from tests.fuzz.documents import EXPORTS, bent_export, in_protobuf
from tests.fuzz.mutation import bent_bytes, seeds_of, written
from tests.fuzz.target import Target


def make(choices: Choices) -> bytes:
    if choices.chance(3):
        return seeds_of(EXPORTS, choices)
    bent = bent_export(choices)
    if choices.chance(3):
        raw = in_protobuf(bent) or in_protobuf(choices.pick(EXPORTS))
        return bent_bytes(raw, choices) if choices.chance(2) else raw
    return written(bent, choices)


TARGET = Target("otlp", make, lambda raw: outcome(decode_responses(raw, **GIVEN)))
