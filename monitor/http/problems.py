"""Errors as RFC 9457 `application/problem+json`, naming the field that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from evidence import BadInputError, UnreachableError

MEDIA_TYPE = "application/problem+json"


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


def problem_response(error: ProblemError) -> JSONResponse:
    """The response that tells of a problem."""
    body = Problem(
        title=error.status.phrase,
        status=error.status.value,
        detail=error.detail,
        errors=[FieldError(field=field, message=message) for field, message in error.errors],
    )
    return JSONResponse(
        body.model_dump(), error.status.value, headers=error.headers, media_type=MEDIA_TYPE
    )


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The `responses` argument of a route that may end with these problems.

    Where a key is asked for, too many requests of it are refused.
    """
    schema = {"$ref": "#/components/schemas/Problem"}
    if HTTPStatus.UNAUTHORIZED in statuses:
        statuses = (*statuses, HTTPStatus.TOO_MANY_REQUESTS)
    return {
        status.value: {"description": status.phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Make every failure of `app` a problem document."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(BadInputError, _on_bad_input)
    app.add_exception_handler(UnreachableError, _on_unreachable)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(OperationalError, _on_database)
    app.add_exception_handler(Exception, _on_bug)


def publish(app: FastAPI) -> None:
    """Add the schema of problem documents to the published OpenAPI."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in (FieldError, Problem):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            schemas[model.__name__] = schema
        return document

    app.openapi = openapi  # type: ignore[method-assign]


async def _on_problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)  # noqa: S101 -- registered for this type alone
    return problem_response(error)


async def _on_bad_input(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BadInputError)  # noqa: S101
    errors = [(error.where, error.what)] if error.where else []
    problem = ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), errors=errors)
    return problem_response(problem)


async def _on_unreachable(_request: Request, error: Exception) -> JSONResponse:
    problem = ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers={"Retry-After": "5"})
    return problem_response(problem)


async def _on_database(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OperationalError)  # noqa: S101
    reason = str(error.orig).strip().partition("\n")[0]
    return await _on_unreachable(request, UnreachableError("database", reason))


async def _on_bug(_request: Request, _error: Exception) -> JSONResponse:
    # The server logs the error with its trace; the sender learns nothing of the inside.
    return problem_response(ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a bug"))


async def _on_validation(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [
        (".".join(str(part) for part in item["loc"][1:]) or "body", str(item["msg"]))
        for item in error.errors()
    ]
    fields = ", ".join(field for field, _ in errors)
    problem = ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY, f"the request is wrong in: {fields}", errors=errors
    )
    return problem_response(problem)


async def _on_http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    status = HTTPStatus(error.status_code)
    problem = ProblemError(status, str(error.detail), headers=error.headers)
    return problem_response(problem)
