"""The console's route, with headers that let the page load nothing and run nothing."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from evidence import UnreachableError
from monitor.console.page import STYLE_HASH, render, render_unreachable
from monitor.http.routes import DoorRoute
from monitor.telemetry import State

_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def router(state: Callable[[Request], State], *, refresh_s: int = 5) -> APIRouter:
    """The page at `/`.

    Parameters
    ----------
    state
        What the sender of a request may see; raises UnreachableError, or what refuses the request.
    refresh_s
        The page loads itself again after this long.
    """
    routes = APIRouter(route_class=DoorRoute)

    @routes.get("/", include_in_schema=False)
    def console(request: Request) -> HTMLResponse:
        try:
            return HTMLResponse(render(state(request), refresh_s), headers=_HEADERS)
        except UnreachableError as error:
            page = render_unreachable(str(error), refresh_s)
            return HTMLResponse(page, 503, headers=_HEADERS)

    return routes
