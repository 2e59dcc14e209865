"""Routes that know who asks before they read a body, and that refuse what they would ignore."""

from __future__ import annotations

import gc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, get_args, get_origin

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool

from monitor.http.body import JSON_TYPE, media_type
from monitor.http.problems import ProblemError, documented
from monitor.ingest.records import Refused
from monitor.ingest.text import parse_value

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Guard:
    """Whose method `let_in` is a dependency that a route settles before anything else."""

    def let_in(self, request: Request) -> Any:
        """Raises ProblemError for a request that goes no further."""
        raise NotImplementedError


class DoorRoute(APIRoute):
    """A route of FastAPI in this order: guards, then query parameters, then the body.

    A JSON body is parsed and validated in a thread, so that a large one holds up nobody else.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.responses = _usual(self) | self.responses
        if self.guards:
            either: dict[str, Any] = {"security": [{"bearer": []}, {"basic": []}]}
            self.openapi_extra = either | (self.openapi_extra or {})

    @property
    def guards(self) -> list[Guard]:
        """What lets a request in; empty for a route that is open to everyone."""
        return list(_guards(self.dependant))

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        guards = self.guards
        known = dict(_query_parameters(self.dependant))
        field = self.body_field
        annotation: Any = None if field is None else field.field_info.annotation
        body = None if field is None else TypeAdapter[Any](annotation)

        async def guarded(request: Request) -> Response:
            for guard in guards:
                guard.let_in(request)
            _check_query(request, known)
            if body is None:
                return await handle(request)
            raw = await request.body()
            value = None
            if raw:
                kind = media_type(request.headers.get("content-type", ""))
                value = await run_in_threadpool(_validated, body, raw, kind)
            return await handle(_Read(request, raw, value))

        return guarded


class _Read(Request):
    """A request whose body was read and validated already."""

    def __init__(self, request: Request, raw: bytes, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._raw, self._value = raw, value

    async def body(self) -> bytes:
        return self._raw

    async def json(self) -> Any:
        return self._value


def _usual(route: APIRoute) -> dict[int | str, dict[str, Any]]:
    """The problems that every route of this kind may end with."""
    statuses = [HTTPStatus.UNPROCESSABLE_ENTITY]
    if next(_guards(route.dependant), None) is not None:
        statuses += [
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.MISDIRECTED_REQUEST,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ]
    if (route.methods or set()) & {"POST", "PUT", "PATCH"}:
        statuses += [
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.REQUEST_TIMEOUT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        ]
    return documented(*statuses)


def _guards(dependant: Dependant) -> Iterator[Guard]:
    for dependency in dependant.dependencies:
        owner = getattr(dependency.call, "__self__", None)
        if isinstance(owner, Guard):
            yield owner
        yield from _guards(dependency)


def _query_parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Names, and whether one may be given more than once."""
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        kinds = (annotation, *get_args(annotation))
        yield field.alias, any(get_origin(kind) in (list, tuple, set) for kind in kinds)
    for dependency in dependant.dependencies:
        yield from _query_parameters(dependency)


def _check_query(request: Request, known: dict[str, bool]) -> None:
    names = [name for name, _ in request.query_params.multi_items()]
    unknown = sorted(set(names) - known.keys())
    errors = [(name, "no such parameter") for name in unknown]
    errors += [
        (name, "given more than once")
        for name, many in known.items()
        if not many and names.count(name) > 1
    ]
    if errors:
        shown = ", ".join(sorted(known)) or "none"
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"wrong parameters: {', '.join(name for name, _ in errors)}; known here: {shown}",
            errors=errors,
        )


def _validated(body: TypeAdapter[Any], raw: bytes, kind: str) -> Any:
    if kind != JSON_TYPE:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the content type is {JSON_TYPE}, not {kind or 'missing'}",
        )
    with _uncollected():
        try:
            value = parse_value(raw)
        except Refused as refused:
            raise ProblemError(HTTPStatus.BAD_REQUEST, f"the body: {refused}") from refused
        if b"\\u" in raw:
            _refuse_nul(value)
        try:
            return body.validate_python(value)
        except ValidationError as error:
            found = [
                {**item, "loc": ("body", *item["loc"])}
                for item in error.errors(include_url=False, include_input=False)
            ]
            raise RequestValidationError(found) from error


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection, which looks at millions of new objects again and again.

    It takes five times as long as the parsing, and holds up every other request for as long.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _refuse_nul(value: Any) -> None:
    """NUL, as which lone surrogates come too, has no place in a stored text, nor in anybody's name."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        where, item = waiting.pop()
        if isinstance(item, str) and "\0" in item:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "the body holds NUL or a lone surrogate",
                errors=[(where.lstrip(".") or "body", "holds NUL or a lone surrogate")],
            )
        if isinstance(item, dict):
            waiting += [(where, name) for name in item]
            waiting += [(f"{where}.{name}", part) for name, part in item.items()]
        elif isinstance(item, list):
            waiting += [(f"{where}.{index}", part) for index, part in enumerate(item)]
