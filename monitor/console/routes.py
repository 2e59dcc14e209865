"""All pages as one router."""

from __future__ import annotations

from fastapi import APIRouter

from monitor.console import (
    alarms,
    confirm,
    neutral,
    overview,
    raters,
    redteam,
    response,
    retrain,
    review,
    sensors,
    signing_in,
    system,
    verdicts,
)
from monitor.console.context import ConsoleContext
from monitor.console.templating import environment


def router(context: ConsoleContext) -> APIRouter:
    """The console: `/` and what it leads to."""
    environment()
    routes = APIRouter()
    # The export stands before the page of a verdict with that key.
    reading = (overview, alarms, verdicts, response, review, confirm, retrain, raters)
    keeping = (sensors, neutral, redteam, system)
    for module in (signing_in, *reading, *keeping):
        routes.include_router(module.router(context))
    return routes
