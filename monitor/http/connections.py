"""Connections of one server: not more than it can hold, and none that waits for ever."""

from __future__ import annotations

import asyncio
import errno
import json
import resource
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from monitor.http.problems import MEDIA_TYPE

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n"
_LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def affordable(wanted: int) -> tuple[int, int]:
    """How many connections to hold, and to take at once, with the files that the process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted, 512
    return max(8, min(wanted, soft // 2)), max(8, min(512, soft // 8))


def out_of_files(error: object) -> bool:
    """Whether the system had no file, or no memory, for one more connection."""
    return isinstance(error, OSError) and error.errno in _NO_FILES


class Connections:
    """What the connections of one server share.

    Parameters
    ----------
    most
        Connections at once.
    timeout_s
        Time for the head of a request to come, and for a part of an answer to go.
    """

    def __init__(self, most: int, timeout_s: float) -> None:
        self.most = most
        self.timeout_s = timeout_s
        self.waiting: dict[BoundedProtocol, None] = {}
        """Those without a request, the longest waiting first."""

    def make_room(self) -> bool:
        """Close the connection that has waited longest; False when all are busy."""
        if not self.waiting:
            return False
        next(iter(self.waiting)).give_up()
        return True


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol with a bound on how many there are, and on how long a peer may take."""

    def __init__(self, *args: Any, bounds: Connections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bounds = bounds
        self._timer: asyncio.TimerHandle | None = None
        self._began = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        full = len(self.connections) > self._bounds.most
        if full and not self._bounds.make_room():
            transport.write(_FULL)
            self._close()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._began = True
        super().data_received(data)
        if self._busy:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._busy and not self.transport.is_closing():
            self._wait()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._set_timer(self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._clear_timer()

    def send_400_response(self, msg: str) -> None:
        problem = {"type": "about:blank", "title": "Bad Request", "status": 400, "errors": []}
        body = json.dumps({**problem, "detail": msg}).encode()
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self._close()

    def give_up(self) -> None:
        """Close a connection whose request did not come."""
        self._stop_waiting()
        if self._began:
            self.transport.write(_LATE)
        self._close()

    def _close(self) -> None:
        """Close once what was written is sent, and without it where the peer takes nothing."""
        self.transport.close()
        self._set_timer(self.transport.abort)

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._began = False
        self._bounds.waiting[self] = None
        self._set_timer(self.give_up)

    def _stop_waiting(self) -> None:
        self._bounds.waiting.pop(self, None)
        self._clear_timer()

    def _set_timer(self, act: Any) -> None:
        self._clear_timer()
        self._timer = self.loop.call_later(self._bounds.timeout_s, act)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
