"""Data sets from outside over HTTP: what `candor sources` does on the machine itself."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from monitor.api.context import Context
from monitor.api.models import at_known
from monitor.http.access import Principal, Scope
from monitor.http.body import JSON_TYPE, NDJSON_TYPES, media_type
from monitor.http.problems import ProblemError, documented
from monitor.http.routes import DoorRoute
from monitor.services import sources
from monitor.services.sources import NewSource, SourceTakenError, UnknownSourceError
from monitor.store import reading
from monitor.store.sources import TrainingSource, all_sources
from retrain.sources import source_of_bytes

_FILE_TYPES = (
    "application/octet-stream",
    "application/vnd.apache.parquet",
    NDJSON_TYPES[0],
    JSON_TYPE,
)
_FILE = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in _FILE_TYPES
        },
    }
}

Name = Annotated[str, Query(min_length=1, max_length=200, description="As rows name it.")]
By = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=100,
        description="The person; required while the API runs without keys.",
    ),
]


class SourceOut(BaseModel):
    """A registered data set; `digest` is the SHA-256 of what was read."""

    name: str
    version: str
    digest: str
    rows: int
    size_bytes: int
    licence: str
    registered_by: str
    registered_at: datetime


class SourceList(BaseModel):
    """Registered data sets by name and version."""

    sources: list[SourceOut]


class SourceRemoved(BaseModel):
    """The data set that was taken out, as `name@version`."""

    removed: str = Field(examples=["dolly@2023-04"])


def router(context: Context) -> APIRouter:
    """`/v1/sources`."""
    routes = APIRouter(route_class=DoorRoute, prefix="/v1/sources", tags=["gate"])
    _add_list(routes, context)
    _add_registration(routes, context)
    _add_removal(routes, context)
    return routes


def _add_list(routes: APIRouter, context: Context) -> None:
    may_read = Depends(context.access.require(Scope.READ))

    @routes.get("", summary="Registered training sources")
    def get_sources(*, principal: Principal = may_read) -> SourceList:  # noqa: ARG001
        """Data sets from outside of which training rows may come; they hold for every assistant."""
        with reading(context.engine) as connection:
            return SourceList(sources=[_out(one) for one in all_sources(connection)])


def _add_registration(routes: APIRouter, context: Context) -> None:
    may_gate = Depends(context.access.require(Scope.GATE))

    @routes.post(
        "",
        status_code=HTTPStatus.CREATED,
        summary="Register a training source",
        responses=documented(HTTPStatus.CONFLICT),
        openapi_extra=_FILE,
    )
    async def post_source(
        request: Request,
        *,
        principal: Principal = may_gate,
        name: Name,
        version: Name,
        licence: Annotated[str, Query(min_length=1, max_length=200)],
        digest: Annotated[
            str | None,
            Query(description="SHA-256 that its publisher states; another content is refused."),
        ] = None,
        by: By = None,
    ) -> SourceOut:
        """The body is the file as it is: JSON lines or Parquet, packed or not. A larger one, or a folder, is
        registered by `candor sources add`. An image that a row names by its path counts by that name."""
        kind = media_type(request.headers.get("content-type", ""))
        if kind not in {*_FILE_TYPES, *NDJSON_TYPES}:
            raise ProblemError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"the content type is one of {', '.join(_FILE_TYPES)}, not {kind or 'missing'}",
            )
        person, body = principal.acts(by), await request.body()

        def register() -> TrainingSource:
            content = source_of_bytes(body, "body")
            wanted = NewSource(
                name=name, version=version, content=content, licence=licence, digest=digest
            )
            with context.engine.begin() as connection:
                return sources.register(connection, wanted, person, now_s=context.clock())

        try:
            return _out(await run_in_threadpool(register))
        except SourceTakenError as error:
            raise ProblemError(HTTPStatus.CONFLICT, str(error)) from error


def _add_removal(routes: APIRouter, context: Context) -> None:
    may_gate = Depends(context.access.require(Scope.GATE))

    @routes.delete(
        "", summary="Take a training source out", responses=documented(HTTPStatus.NOT_FOUND)
    )
    def delete_source(
        *,
        principal: Principal = may_gate,
        name: Name,
        version: Name,
        reason: Annotated[str, Query(min_length=1, max_length=2000)],
        by: By = None,
    ) -> SourceRemoved:
        """Rows that claim to come from it are quarantined from then on."""
        person = principal.acts(by)
        try:
            with context.engine.begin() as connection:
                sources.remove(
                    connection, name, version, person, reason=reason, now_s=context.clock()
                )
        except UnknownSourceError as error:
            raise ProblemError(HTTPStatus.NOT_FOUND, str(error)) from error
        return SourceRemoved(removed=f"{name}@{version}")


def _out(source: TrainingSource) -> SourceOut:
    fields = msgspec.structs.asdict(source)
    return SourceOut(registered_at=at_known(fields.pop("registered_at_s")), **fields)
