"""Signing in and out, and the files that every page loads."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from monitor.console.context import ConsoleContext
from monitor.console.frame import HEADERS, ConsoleRoute, back_to, local, page
from monitor.console.session import (
    Form,
    SignedIn,
    Viewer,
    read_act,
    read_form,
    sign_in,
    sign_out,
    viewer_of,
)
from monitor.console.templating import STATIC, static_file
from monitor.http.access import Scope
from monitor.http.problems import ProblemError

Next = Annotated[str, Query(alias="next", max_length=2_000)]


def router(context: ConsoleContext) -> APIRouter:
    """`/sign-in`, `/sign-out` and `/console/…`."""
    routes = APIRouter(route_class=ConsoleRoute, include_in_schema=False)
    signed_in = Depends(SignedIn(context, Scope.READ).let_in)

    @routes.get("/sign-in")
    def get_sign_in(request: Request, following: Next = "/") -> Response:
        viewer = viewer_of(context, request)
        return page(
            request,
            viewer,
            "sign_in.html",
            open=context.access.is_open,
            following=local(following),
            wrong=None,
        )

    @routes.post("/sign-in")
    def post_sign_in(request: Request, form: Annotated[Form, Depends(read_form)]) -> Response:
        if context.access.is_open:
            context.access.principal(request)
        following = local(form.get("next"))
        answer = back_to(following)
        try:
            sign_in(context, request, form, answer)
        except ProblemError as problem:
            if problem.status is HTTPStatus.TOO_MANY_REQUESTS:
                raise
            return page(
                request,
                None,
                "sign_in.html",
                code=problem.status.value,
                open=context.access.is_open,
                following=following,
                wrong=problem.detail,
            )
        return answer

    @routes.post("/sign-out")
    def post_sign_out(
        request: Request,
        viewer: Viewer = signed_in,  # noqa: ARG001 -- guards the route
        form: Form = Depends(read_act),  # noqa: ARG001, B008
    ) -> Response:
        answer = back_to("/sign-in")
        sign_out(context, request, answer)
        return answer

    @routes.get("/console/{digest}/{file}")
    def get_static(digest: str, file: str) -> Response:  # noqa: ARG001 -- it changes with the file
        content = static_file(file)
        if content is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "there is no such file")
        headers = HEADERS | {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(content, media_type=STATIC[file], headers=headers)

    return routes
