"""Raters, biased cohorts and their influence: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.lazy import load_on_first_use

# ruff: noqa: TC004 -- at run time the names come from _PARTS, so that options load without scipy
if TYPE_CHECKING:
    from monitor.cohorts.alarm import PopulationState, population_alarms
    from monitor.cohorts.estimate import estimate, estimate_and_carry
    from monitor.cohorts.events import EventTable, RatedEvent
    from monitor.cohorts.forecast import DosePoint, DoseResponse
    from monitor.cohorts.options import CohortOptions
    from monitor.cohorts.results import (
        CohortEstimate,
        Contrast,
        Forecast,
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
        GapDetectorState,
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
    "DosePoint",
    "DoseResponse",
    "EventTable",
    "Forecast",
    "GapDetector",
    "GapDetectorState",
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
    "estimate_and_carry",
    "freeze_membership",
    "population_alarms",
    "sycophancy_gap",
]

_PARTS = {
    "CohortEstimate": "results",
    "CohortOptions": "options",
    "Contrast": "results",
    "DosePoint": "forecast",
    "DoseResponse": "forecast",
    "EventTable": "events",
    "Forecast": "results",
    "GapDetector": "sycophancy",
    "GapDetectorState": "sycophancy",
    "Group": "results",
    "Influence": "results",
    "Membership": "sycophancy",
    "PopulationState": "alarm",
    "PredictiveCheck": "results",
    "RatedEvent": "events",
    "RaterPosterior": "results",
    "RaterStatus": "results",
    "Refreshed": "standing",
    "Served": "sycophancy",
    "Share": "results",
    "Standing": "standing",
    "SycophancyGap": "sycophancy",
    "TopicCheck": "results",
    "estimate": "estimate",
    "estimate_and_carry": "estimate",
    "freeze_membership": "sycophancy",
    "population_alarms": "alarm",
    "sycophancy_gap": "sycophancy",
}

load_on_first_use(__name__, _PARTS)
