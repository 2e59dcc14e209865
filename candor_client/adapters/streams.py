"""Streams of an SDK that are read along: the same for who reads them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

log = logging.getLogger(__name__)


class Reader(Protocol):
    """Takes the parts of a stream, and puts them together at its end."""

    def take(self, part: Any) -> None: ...

    def end(self) -> None: ...


class _Read:
    """What both kinds of stream share. A part that cannot be read is logged, and reaches its reader all the same."""

    def __init__(self, stream: Any, reader: Reader) -> None:
        self._stream, self._reader = stream, reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _take(self, part: Any) -> None:
        try:
            self._reader.take(part)
        except Exception:
            log.exception("a part of an answer could not be read")

    def _end(self) -> None:
        try:
            self._reader.end()
        except Exception:
            log.exception("an answer could not be sent")


class ReadStream(_Read):
    """A stream, as the SDK's own."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            part = next(self._stream)
        except StopIteration:
            self._end()
            raise
        self._take(part)
        return part

    def __enter__(self) -> ReadStream:
        self._stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stream.__exit__(*error)


class AsyncReadStream(_Read):
    """The same for asyncio."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            part = await self._stream.__anext__()
        except StopAsyncIteration:
            self._end()
            raise
        self._take(part)
        return part

    async def __aenter__(self) -> AsyncReadStream:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stream.__aexit__(*error)
