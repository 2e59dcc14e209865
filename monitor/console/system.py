"""`/system`: workers and queues, what the doctor says, the settings in force; and the runbook."""

from __future__ import annotations

import re
from http import HTTPStatus

from fastapi import APIRouter, Depends, Request, Response

from monitor.console.context import ConsoleContext
from monitor.console.frame import ConsoleRoute, page
from monitor.console.session import SignedIn, Viewer
from monitor.http.access import Scope
from monitor.http.problems import ProblemError
from monitor.store import reading
from monitor.store.status import heartbeats

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


def router(context: ConsoleContext) -> APIRouter:
    """`/system` and `/runbook`."""
    routes = APIRouter(route_class=ConsoleRoute, include_in_schema=False)
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)
    sections = _sections(context.runbook)

    @routes.get("/system")
    def system_page(
        request: Request, examine: bool = False, viewer: Viewer = signed_in
    ) -> Response:
        # What it finds names paths, addresses and settings: that is for who runs the service.
        operator = viewer.principal.may(Scope.ADMIN)
        if examine and not operator:
            raise ProblemError(HTTPStatus.FORBIDDEN, "this is for keys with the scope admin")
        with reading(context.engine) as connection:
            beats = heartbeats(connection)
        now_s = context.clock()
        return page(
            request,
            viewer,
            "system.html",
            state=context.state(viewer.principal),
            beats=[
                (beat, beat.is_alive(now_s, context.telemetry.worker_silent_s)) for beat in beats
            ],
            operator=operator,
            found=context.examine() if examine else None,
            settings=context.settings if operator else (),
        )

    @routes.get("/runbook")
    def runbook(request: Request, viewer: Viewer = signed_in) -> Response:
        return page(request, viewer, "runbook.html", sections=sections)

    return routes


def _sections(text: str) -> list[tuple[str, str]]:
    """Titles and texts of a page in Markdown, read as text."""
    _, *parts = _SECTION.split(text)
    return [
        (title.strip(), body.strip()) for title, body in zip(parts[::2], parts[1::2], strict=True)
    ]
