"""Raters, biased cohorts and their influence: pure."""

from monitor.cohorts.alarm import PopulationState, population_alarms
from monitor.cohorts.estimate import estimate
from monitor.cohorts.events import EventTable, RatedEvent
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.results import (
    CohortEstimate,
    Contrast,
    Group,
    Influence,
    PredictiveCheck,
    RaterPosterior,
    RaterStatus,
    Share,
    TopicCheck,
)

__all__ = [
    "CohortEstimate",
    "CohortOptions",
    "Contrast",
    "EventTable",
    "Group",
    "Influence",
    "PopulationState",
    "PredictiveCheck",
    "RatedEvent",
    "RaterPosterior",
    "RaterStatus",
    "Share",
    "TopicCheck",
    "estimate",
    "population_alarms",
]
