"""What was measured and what may be concluded from it: pure values and mathematics, no I/O."""

from candor_guard.answer import GateAnswer
from candor_guard.messages import Message, ToolCall, ToolResult
from evidence.e_detector import EDetector
from evidence.errors import BadInputError, CandorError, MisconfiguredError, UnreachableError
from evidence.identity import (
    canonical_json,
    digest,
    pseudonym,
    sampling_hash,
    verdict_key,
    words_digest,
)
from evidence.records import (
    CANARY_ASSISTANT,
    Alarm,
    AlarmState,
    AlarmSubject,
    Archetype,
    Assessment,
    Feedback,
    Finding,
    Measurement,
    Purpose,
    Response,
    SampledBy,
    Stakes,
    Stratum,
    Verdict,
    VerdictKind,
)

__all__ = [
    "CANARY_ASSISTANT",
    "Alarm",
    "AlarmState",
    "AlarmSubject",
    "Archetype",
    "Assessment",
    "BadInputError",
    "CandorError",
    "EDetector",
    "Feedback",
    "Finding",
    "GateAnswer",
    "Measurement",
    "Message",
    "MisconfiguredError",
    "Purpose",
    "Response",
    "SampledBy",
    "Stakes",
    "Stratum",
    "ToolCall",
    "ToolResult",
    "UnreachableError",
    "Verdict",
    "VerdictKind",
    "canonical_json",
    "digest",
    "pseudonym",
    "sampling_hash",
    "verdict_key",
    "words_digest",
]
