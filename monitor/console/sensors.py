"""`/sensors`: what was measured of each sensor, and how well the evaluators are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from monitor.console.context import ConsoleContext
from monitor.console.frame import ConsoleRoute, View, page, view_of
from monitor.console.session import SignedIn, Viewer
from monitor.detect.health import decode_health
from monitor.http.access import Scope
from monitor.store import reading
from monitor.store.health import read_all
from monitor.store.sensors import newest_sensors

_SHOWN = 20


def router(context: ConsoleContext) -> APIRouter:
    """The one page."""
    routes = APIRouter(route_class=ConsoleRoute, include_in_schema=False)
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)

    @routes.get("/sensors")
    def sensor_page(
        request: Request, view: Annotated[View, Depends(view_of)], viewer: Viewer = signed_in
    ) -> Response:
        with reading(context.engine) as connection:
            sensors = newest_sensors(connection, limit=5 * _SHOWN)
            healths = read_all(connection, newest=_SHOWN)
        seen = [one for one in sensors if not one.assistant or viewer.principal.sees(one.assistant)]
        return page(
            request,
            viewer,
            "sensors.html",
            view=view,
            sensors=seen[:_SHOWN],
            healths=[(known, decode_health(known.state)) for known in healths.values()],
        )

    return routes
