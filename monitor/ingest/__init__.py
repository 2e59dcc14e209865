"""From bytes on a topic to accepted records or dead letters."""

from monitor.ingest.decode import decode_feedback, decode_response, decode_responses
from monitor.ingest.encode import encode_feedback, encode_response
from monitor.ingest.records import DeadLetter, DeadLetterReason
from monitor.ingest.source import Partition, Poll, Record, Source

__all__ = [
    "DeadLetter",
    "DeadLetterReason",
    "Partition",
    "Poll",
    "Record",
    "Source",
    "decode_feedback",
    "decode_response",
    "decode_responses",
    "encode_feedback",
    "encode_response",
]
