"""Approved belief: how surprising a response is to the last approved version without pressure."""

from probes.approved.probe import UNCALIBRATED, ApprovedBelief, NeutralPrompts, OwnVersion
from probes.approved.reading import Reading, fit_reading, left_out

__all__ = [
    "UNCALIBRATED",
    "ApprovedBelief",
    "NeutralPrompts",
    "OwnVersion",
    "Reading",
    "fit_reading",
    "left_out",
]
