"""Errors as RFC 9457 `application/problem+json`, naming the field that is wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from evidence import BadInputError, MisconfiguredError, UnreachableError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_MAX_ERRORS = 100


class FieldError(BaseModel):
    """What is wrong with one field of the request."""

    field: str = Field(description="Where: a field, or record number and field.")
    message: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] = Field(default=[], description="One entry for each wrong field.")


class ProblemError(Exception):
    """Ends a request with a problem.

    Parameters
    ----------
    status
        HTTP status.
    detail
        One clear sentence.
    errors
        Pairs of field and message.
    headers
        Further response headers.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def problem_response(error: ProblemError) -> Response:
    """The response that tells of a problem; of very many wrong fields the first."""
    body = Problem(
        title=error.status.phrase,
        status=error.status.value,
        detail=error.detail,
        errors=[
            FieldError(field=field, message=message)
            for field, message in error.errors[:_MAX_ERRORS]
        ],
    )
    # In ASCII: what is told of a wrong text may be no text that UTF-8 can write.
    content = json.dumps(body.model_dump())
    return Response(content, error.status.value, headers=error.headers, media_type=MEDIA_TYPE)


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The `responses` argument of a route that may end with these problems."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status.value: {"description": status.phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Make every failure of `app` a problem document."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(BadInputError, _on_bad_input)
    app.add_exception_handler(MisconfiguredError, _on_misconfigured)
    app.add_exception_handler(UnreachableError, _on_unreachable)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(DBAPIError, _on_database)
    app.add_exception_handler(PoolTimeoutError, _on_database)
    app.add_exception_handler(IntegrityError, _on_collision)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_bug)


async def _on_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 -- registered for this type alone
    return problem_response(error)


async def _on_bad_input(_request: Request, error: Exception) -> Response:
    assert isinstance(error, BadInputError)  # noqa: S101
    errors = [(error.where, error.what)] if error.where else []
    problem = ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), errors=errors)
    return problem_response(problem)


async def _on_misconfigured(_request: Request, error: Exception) -> Response:
    log.error("%s", error)
    what = "this server is not set up as it should be; its log says what is wrong"
    return problem_response(ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, what))


async def _on_unreachable(_request: Request, error: Exception) -> Response:
    assert isinstance(error, UnreachableError)  # noqa: S101
    log.warning("%s", error)
    return _try_later(error.dependency)


async def _on_database(_request: Request, error: Exception) -> Response:
    log.warning("the database refused, or does not answer", exc_info=error)
    return _try_later("database")


def _try_later(dependency: str) -> Response:
    # Where it is, and what it said, is for the operator: the log has it.
    problem = ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"{dependency} is unreachable",
        headers={"Retry-After": "5"},
    )
    return problem_response(problem)


async def _on_collision(_request: Request, error: Exception) -> Response:
    log.warning("two requests collided", exc_info=error)
    what = "another request changed the same just now; read it again"
    return problem_response(ProblemError(HTTPStatus.CONFLICT, what))


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return problem_response(ProblemError(HTTPStatus.BAD_REQUEST, "the body was cut off"))


async def _on_bug(_request: Request, _error: Exception) -> Response:
    # The server logs the error with its trace; the sender learns nothing of the inside.
    return problem_response(ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a bug"))


async def _on_validation(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [
        (".".join(str(part) for part in item["loc"][1:]) or "body", str(item["msg"]))
        for item in error.errors()
    ]
    fields = ", ".join(field for field, _ in errors[:_MAX_ERRORS])
    problem = ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY, f"the request is wrong in: {fields}", errors=errors
    )
    return problem_response(problem)


async def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    status = HTTPStatus(error.status_code)
    problem = ProblemError(status, str(error.detail), headers=error.headers)
    return problem_response(problem)
