"""Records of the feedback topic."""

from monitor.ingest.decode import decode_feedback
from tests.fuzz.checks import GIVEN, outcome
from tests.fuzz.documents import FEEDBACK
from tests.fuzz.mutation import seeds_of
from tests.fuzz.target import Target

TARGET = Target(
    "feedback",
    lambda choices: seeds_of([FEEDBACK], choices),
    lambda raw: outcome([decode_feedback(raw, **GIVEN)]),
)
