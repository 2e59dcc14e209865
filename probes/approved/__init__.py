"""Approved belief: how surprising a response is to the last approved version without pressure."""

from probes.approved.answers import ApprovedAnswers
from probes.approved.probe import ApprovedBelief, OwnVersion
from probes.approved.reading import Reading, fit_reading, left_out

__all__ = [
    "ApprovedAnswers",
    "ApprovedBelief",
    "OwnVersion",
    "Reading",
    "fit_reading",
    "left_out",
]
