"""Where every request comes in: bounded in size and time, and made of text that can be stored."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.http.encodings import too_large, unpacked
from monitor.http.options import ApiOptions
from monitor.http.problems import ProblemError, problem_response

_CONTROL = re.compile("[\x00-\x1f\x7f]")
_BODIES_HELD = 16
"""As many of the largest bodies are in memory at once; further requests are asked to come again."""


class Door:
    """ASGI middleware around a whole application: the API with its console, or the tap.

    A body is read when a route asks for it, which is after the route knows who sent the request: whole,
    within `max_body_bytes` and `read_timeout_s`, and unpacked off the event loop. A connection whose
    body was left unread is closed with the answer.
    """

    def __init__(self, app: ASGIApp, *, options: ApiOptions) -> None:
        self._app = app
        self._options = options
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = _wrong_text(scope)
        if problem is not None:
            await problem_response(problem)(scope, receive, send)
            return
        body = _Body(self, Request(scope), receive)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and body.left_unread:
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        try:
            await self._app(scope, body.receive, answer)
        finally:
            self._held_bytes -= body.size_bytes

    async def read(self, body: _Body, receive: Receive) -> bytes | None:
        """The packed body; None when the client went away. Raises ProblemError."""
        limit = self._options.max_body_bytes
        read = bytearray()
        try:
            async with asyncio.timeout(self._options.read_timeout_s):
                more = True
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    chunk = message.get("body", b"")
                    if len(read) + len(chunk) > limit:
                        raise too_large(limit)
                    self._hold(body, len(chunk))
                    read += chunk
                    more = message.get("more_body", False)
        except TimeoutError as error:
            raise ProblemError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the body did not come within {self._options.read_timeout_s:g} s",
            ) from error
        return bytes(read)

    async def unpack(self, body: _Body, packed: bytes, encoding: str) -> bytes:
        """The body without its encoding. Raises ProblemError."""
        if not encoding:
            return packed
        plain = await run_in_threadpool(unpacked, packed, encoding, self._options.max_body_bytes)
        self._hold(body, len(plain))
        return plain

    @property
    def max_body_bytes(self) -> int:
        return self._options.max_body_bytes

    def _hold(self, body: _Body, size_bytes: int) -> None:
        if self._held_bytes + size_bytes > _BODIES_HELD * self._options.max_body_bytes:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too many large requests at once",
                headers={"Retry-After": "1"},
            )
        self._held_bytes += size_bytes
        body.size_bytes += size_bytes


class _Body:
    """The body of one request, read at the first call of `receive`."""

    def __init__(self, door: Door, request: Request, receive: Receive) -> None:
        self._door = door
        self._headers = request.headers
        self._receive = receive
        self._asked = False
        self._ended = False
        self.size_bytes = 0

    @property
    def left_unread(self) -> bool:
        """Whether a body was announced and not read to its end."""
        announced = self._headers.get("content-length", "0") != "0"
        return not self._ended and (announced or "transfer-encoding" in self._headers)

    async def receive(self) -> Message:
        if self._asked:
            return await self._receive()
        self._asked = True
        declared = self._headers.get("content-length", "0")
        if declared.isdecimal() and int(declared[:20]) > self._door.max_body_bytes:
            raise too_large(self._door.max_body_bytes)
        packed = await self._door.read(self, self._receive)
        if packed is None:
            return {"type": "http.disconnect"}
        self._ended = True
        encoding = ",".join(self._headers.getlist("content-encoding"))
        plain = await self._door.unpack(self, packed, encoding)
        return {"type": "http.request", "body": plain, "more_body": False}


def _wrong_text(scope: Scope) -> ProblemError | None:
    """Paths and queries are UTF-8 without control characters: nothing else is a name of anything."""
    path = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
    query = scope.get("query_string", b"")
    for where, raw in (("path", path), ("query", query.replace(b"+", b" "))):
        try:
            text = unquote_to_bytes(raw).decode("utf-8")
        except UnicodeDecodeError:
            what = "not UTF-8"
        else:
            if not _CONTROL.search(text):
                continue
            what = "holds a control character"
        return ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"the {where} is wrong", errors=[(where, what)]
        )
    return None
