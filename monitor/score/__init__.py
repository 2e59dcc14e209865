"""Sampled responses to verdicts through the probes."""

from monitor.score.queue import ScoringQueue, Ticket
from monitor.score.scorer import failed, measured_as, transcript_of
from monitor.score.verdict import make_verdict, without_text
from probes.scorer import Scorer

__all__ = [
    "Scorer",
    "ScoringQueue",
    "Ticket",
    "failed",
    "make_verdict",
    "measured_as",
    "transcript_of",
    "without_text",
]
