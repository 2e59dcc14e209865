"""What every page has: its headers, its place in the navigation, and its way to fail."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import msgspec
from fastapi import Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from evidence import BadInputError, MisconfiguredError, UnreachableError
from monitor.console.session import SignInNeededError, Viewer
from monitor.console.templating import rendered
from monitor.http.problems import ProblemError
from monitor.http.routes import DoorRoute, Handler
from monitor.telemetry import State

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: browsers would then hide where our own forms come from.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

PAGES = (
    ("/", "Overview"),
    ("/alarms", "Alarms"),
    ("/verdicts", "Verdicts"),
    ("/review", "Review"),
    ("/retrain", "Retrain"),
    ("/raters", "Raters"),
    ("/sensors", "Sensors"),
    ("/neutral", "Neutral prompts"),
    ("/redteam", "Red team"),
    ("/system", "System"),
)

HOUR_S, DAY_S = 3_600.0, 86_400.0
RANGES = {
    "6h": (6 * HOUR_S, 600.0),
    "24h": (DAY_S, 1_800.0),
    "7d": (7 * DAY_S, 4 * HOUR_S),
    "30d": (30 * DAY_S, DAY_S),
    "90d": (90 * DAY_S, 2 * DAY_S),
    "365d": (365 * DAY_S, 7 * DAY_S),
}
"""Time ranges that a page covers, and the width of a step of its curves; both in seconds."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What part of the service a page shows; all of it stands in the address."""

    assistant: str | None = None
    stratum: str | None = None
    range: str = "7d"
    until: str | None = None
    until_s: float | None = None

    def link(self, path: str, **changes: str | None) -> str:
        """The address of a page with this view, some of it changed."""
        fields = {
            "assistant": self.assistant,
            "stratum": self.stratum,
            "range": None if self.range == "7d" else self.range,
            "until": self.until,
        } | changes
        query = urlencode({key: value for key, value in fields.items() if value})
        return f"{path}?{query}" if query else path

    def period(self, now_s: float) -> tuple[float, float]:
        """From when to when, seconds since the epoch."""
        end_s = now_s if self.until_s is None else self.until_s
        return end_s - RANGES[self.range][0], end_s


def view_of(
    *,
    assistant: Annotated[str | None, Query(max_length=200)] = None,
    stratum: Annotated[str | None, Query(max_length=500)] = None,
    range: Annotated[str, Query()] = "7d",  # noqa: A002 -- its name in the address
    until: Annotated[str | None, Query(max_length=40)] = None,
) -> View:
    """A dependency: the view that an address asks for. Raises ProblemError (422)."""
    check_one_of("range", range, RANGES)
    return View(
        assistant=assistant or None,
        stratum=stratum or None,
        range=range,
        until=until or None,
        until_s=time_of(until, "until"),
    )


def time_of(text: str | None, field: str) -> float | None:
    """Seconds since the epoch of a time as forms and addresses write it; without a zone it is UTC.

    Raises ProblemError (422).
    """
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"{field} is no time such as 2026-01-05T10:00Z",
            errors=[(field, "not a time")],
        ) from error


def assistants_of(state: State, viewer: Viewer) -> list[str]:
    """Assistants that a person may choose from."""
    named = {figures.stratum.assistant for figures in state.strata}
    named |= {cohort.assistant for cohort in state.cohorts}
    named |= {decision.assistant for decision in state.gate}
    return sorted(named | (viewer.principal.assistants or frozenset()))


def check_one_of(field: str, value: str | None, allowed: Iterable[str]) -> None:
    """Raises ProblemError (422) for a value that is none of these; nothing, or an empty one, is no choice."""
    names = list(allowed)
    if value and value not in names:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{field} is one of {', '.join(names)}")


def chosen(view: View, viewer: Viewer, names: list[str]) -> View:
    """The view with an assistant that the key may see; a key of several begins with the first.

    Raises ProblemError (403) for one that it may not see.
    """
    wanted = view.assistant or (view.stratum or "").partition("/")[0] or None
    if wanted is not None:
        viewer.principal.check(wanted)
        if view.stratum is not None and view.stratum.partition("/")[0] != wanted:
            return msgspec.structs.replace(view, assistant=wanted, stratum=None)
        return msgspec.structs.replace(view, assistant=wanted)
    if viewer.principal.assistants is None:
        return view
    own = sorted(viewer.principal.assistants)
    if not own:
        raise ProblemError(HTTPStatus.FORBIDDEN, "this key is for no assistant")
    return msgspec.structs.replace(view, assistant=next((n for n in names if n in own), own[0]))


def page(
    request: Request,
    viewer: Viewer | None,
    template: str,
    *,
    code: int = 200,
    view: View | None = None,
    **values: Any,
) -> HTMLResponse:
    """A whole page."""
    body = rendered(
        template,
        pages=PAGES,
        path=request.url.path,
        here="/" + request.url.path.split("/")[1],
        viewer=viewer,
        view=view or View(),
        ranges=tuple(RANGES),
        **values,
    )
    return HTMLResponse(body, code, headers=HEADERS)


def back_to(address: str) -> RedirectResponse:
    """After an act: the browser loads a page of ours, so that reloading does not act again."""
    return RedirectResponse(address, HTTPStatus.SEE_OTHER, headers=HEADERS)


def local(address: str) -> str:
    """An address within the console; `/` for anything that could lead elsewhere."""
    inside = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if inside and address.isprintable() and "\\" not in address else "/"


class ConsoleRoute(DoorRoute):
    """A route whose failures are pages, too."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def shown(request: Request) -> Response:
            try:
                return await handle(request)
            except SignInNeededError:
                return _ask_to_sign_in(request)
            except _FAILURES as error:
                return failed(request, _problem_of(error))

        return shown


def failed(request: Request, problem: ProblemError) -> HTMLResponse:
    """A page that says what is wrong, and where to go on."""
    viewer: Viewer | None = getattr(request.state, "viewer", None)
    answer = page(
        request,
        viewer,
        "problem.html",
        code=problem.status.value,
        title=problem.status.phrase,
        detail=problem.detail,
    )
    answer.headers.update(
        {k: v for k, v in problem.headers.items() if k.lower() != "www-authenticate"}
    )
    return answer


_FAILURES = (
    ProblemError,
    RequestValidationError,
    BadInputError,
    UnreachableError,
    OperationalError,
    PoolTimeoutError,
)


def _problem_of(error: Exception) -> ProblemError:
    """What a page says of a failure; where things are, and what they said, is for the log."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RequestValidationError):
        fields = ", ".join(".".join(map(str, item["loc"][1:])) for item in error.errors())
        return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"the address is wrong in: {fields}")
    if isinstance(error, UnreachableError):
        log.warning("%s", error)
        return _away(error.dependency)
    if isinstance(error, MisconfiguredError):
        log.error("%s", error)
        what = "this server is not set up as it should be; its log says what is wrong"
        return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, what)
    if isinstance(error, BadInputError):
        return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, error.what)
    log.warning("the database refused, or does not answer", exc_info=error)
    return _away("database")


def _away(dependency: str) -> ProblemError:
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"{dependency} is unreachable",
        headers={"Retry-After": "5"},
    )


def _ask_to_sign_in(request: Request) -> Response:
    if request.method != "GET":
        return failed(request, ProblemError(HTTPStatus.FORBIDDEN, "sign in to act"))
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = request.url.path + query
    return back_to("/sign-in" if wanted == "/" else f"/sign-in?next={quote(wanted, safe='')}")
