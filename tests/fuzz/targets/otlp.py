"""OTLP/JSON trace exports on the responses topic."""

from monitor.ingest.decode import decode_responses
from tests.fuzz.checks import GIVEN, outcome
from tests.fuzz.documents import EXPORTS
from tests.fuzz.mutation import seeds_of
from tests.fuzz.target import Target

TARGET = Target(
    "otlp",
    lambda choices: seeds_of(EXPORTS, choices),
    lambda raw: outcome(decode_responses(raw, **GIVEN)),
)
