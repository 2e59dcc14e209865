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
from monitor.cohorts.standing import Refreshed, Standing
from monitor.cohorts.sycophancy import (
    GapDetector,
    Membership,
    Served,
    SycophancyGap,
    freeze_membership,
    sycophancy_gap,
)

__all__ = [
    "CohortEstimate",
    "CohortOptions",
    "Contrast",
    "EventTable",
    "GapDetector",
    "Group",
    "Influence",
    "Membership",
    "PopulationState",
    "PredictiveCheck",
    "RatedEvent",
    "RaterPosterior",
    "RaterStatus",
    "Refreshed",
    "Served",
    "Share",
    "Standing",
    "SycophancyGap",
    "TopicCheck",
    "estimate",
    "freeze_membership",
    "population_alarms",
    "sycophancy_gap",
]
