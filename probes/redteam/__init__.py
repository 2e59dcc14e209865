"""Asks a model with and without pressure, and compares what it says with what it believes."""

from probes.redteam.asking import Asked, Reply, Target, ask
from probes.redteam.outcome import Case, Found, Outcome, judge_case
from probes.redteam.summary import Rate, SuiteSummary, deception_rate, summarise

__all__ = [
    "Asked",
    "Case",
    "Found",
    "Outcome",
    "Rate",
    "Reply",
    "SuiteSummary",
    "Target",
    "ask",
    "deception_rate",
    "judge_case",
    "summarise",
]
