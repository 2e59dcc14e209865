"""`/neutral`: what is left of each system prompt without its pressure, read and replaced by people."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from evidence import BadInputError
from monitor.console.context import ConsoleContext
from monitor.console.frame import (
    ConsoleRoute,
    View,
    assistants_of,
    back_to,
    check_one_of,
    chosen,
    page,
    view_of,
)
from monitor.console.session import Form, SignedIn, Viewer, read_act
from monitor.console.text import marked
from monitor.http.access import Scope
from monitor.http.problems import ProblemError
from monitor.services.neutral import (
    SHORT,
    Replacement,
    Reviewed,
    find_text,
    list_texts,
    replace_text,
)
from monitor.store import reading

_PAGE = 25
_STATES = ("refused", "auto", "reviewed")
_LONGEST = 40_000


def router(context: ConsoleContext) -> APIRouter:
    """The list, one prompt, and replacing it."""
    routes = APIRouter(route_class=ConsoleRoute, include_in_schema=False)
    _add_list(routes, context)
    _add_text(routes, context)
    return routes


def _add_list(routes: APIRouter, context: ConsoleContext) -> None:
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)

    @routes.get("/neutral")
    def neutral_list(
        request: Request,
        view: Annotated[View, Depends(view_of)],
        state: Annotated[str | None, Query(max_length=20)] = None,
        after: Annotated[int, Query(ge=0, le=100_000)] = 0,
        viewer: Viewer = signed_in,
    ) -> Response:
        check_one_of("state", state, _STATES)
        names = assistants_of(context.state(viewer.principal), viewer)
        view = chosen(view, viewer, names)
        with reading(context.engine) as connection:
            found = list_texts(
                connection,
                view.assistant,
                state=state or None,
                offset=after,
                limit=_PAGE,
                sees=viewer.principal.sees,
            )
        older = str(after + _PAGE) if len(found) == _PAGE else None
        return page(
            request,
            viewer,
            "neutral.html",
            view=view,
            assistants=names,
            states=_STATES,
            state=state,
            texts=found,
            short=SHORT,
            older=view.link("/neutral", state=state, after=older) if older else None,
        )


def _add_text(routes: APIRouter, context: ConsoleContext) -> None:
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)
    may_review = Depends(SignedIn(context, Scope.REVIEW).let_in)

    @routes.get("/neutral/{assistant}/{key}")
    def neutral_text(
        request: Request,
        assistant: str,
        key: str,
        whole: Annotated[bool, Query(alias="all")] = False,
        viewer: Viewer = signed_in,
    ) -> Response:
        with reading(context.engine) as connection:
            found = _found(connection, assistant, key, viewer)
        return page(
            request,
            viewer,
            "neutral_text.html",
            view=View(assistant=found.assistant),
            found=found,
            short=SHORT,
            original=marked(found.original, [(one, "fact") for one in found.missing], whole=whole),
            neutral=marked(found.neutral, (), whole=whole),
            longest=_LONGEST,
            all_link=f"{_address(found)}?all=1",
        )

    @routes.post("/neutral/{assistant}/{key}")
    def replace(
        assistant: str,
        key: str,
        viewer: Viewer = may_review,
        form: Form = Depends(read_act),  # noqa: B008
    ) -> Response:
        wanted = Replacement(
            key=key,
            text=form.required("text", longest=_LONGEST).replace("\r\n", "\n"),
            reason=form.required("reason"),
            assistant=assistant,
        )
        with context.engine.begin() as connection:
            _found(connection, assistant, key, viewer)
            made = replace_text(
                connection,
                wanted,
                viewer.acts(),
                now_s=context.clock(),
                sees=viewer.principal.sees,
            )
        return back_to(_address(made))


def _found(connection: Connection, assistant: str, key: str, viewer: Viewer) -> Reviewed:
    """The one text; without its words for who may not read text. Raises ProblemError (404)."""
    try:
        found = find_text(connection, key, assistant, sees=viewer.principal.sees)
    except BadInputError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no neutral text has this key") from error
    if viewer.reads_text():
        return found
    return msgspec.structs.replace(
        found, original="", neutral="", removed=(), missing=(), problem=None
    )


def _address(found: Reviewed) -> str:
    return f"/neutral/{quote(found.assistant, safe='')}/{found.key}"
