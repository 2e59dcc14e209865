"""What was measured and what may be concluded from it: pure values and mathematics, no I/O."""

from evidence.e_detector import EDetector
from evidence.errors import BadInputError, CandorError, MisconfiguredError, UnreachableError
from evidence.identity import canonical_json, digest, pseudonym, sampling_hash, verdict_key
from evidence.records import (
    CANARY_ASSISTANT,
    Alarm,
    AlarmState,
    AlarmSubject,
    Assessment,
    Feedback,
    GateAnswer,
    Measurement,
    Message,
    Purpose,
    Response,
    SampledBy,
    Stakes,
    Stratum,
    ToolCall,
    Verdict,
    VerdictKind,
)

__all__ = [
    "CANARY_ASSISTANT",
    "Alarm",
    "AlarmState",
    "AlarmSubject",
    "Assessment",
    "BadInputError",
    "CandorError",
    "EDetector",
    "Feedback",
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
    "UnreachableError",
    "Verdict",
    "VerdictKind",
    "canonical_json",
    "digest",
    "pseudonym",
    "sampling_hash",
    "verdict_key",
]
