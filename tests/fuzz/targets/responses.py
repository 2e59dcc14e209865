"""Records of the responses topic."""

from monitor.ingest.decode import decode_responses
from tests.fuzz.checks import GIVEN, outcome
from tests.fuzz.documents import RESPONSES
from tests.fuzz.mutation import seeds_of
from tests.fuzz.target import Target

TARGET = Target(
    "responses",
    lambda choices: seeds_of(RESPONSES, choices),
    lambda raw: outcome(decode_responses(raw, **GIVEN)),
)
