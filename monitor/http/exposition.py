"""Counters of a process without an API, and whether its loop moves."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from evidence import UnreachableError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 32
"""At once."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a connection, of which the one that is open longest gives way: whoever holds many open
    must take neither the process's threads nor its liveness."""

    daemon_threads = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lock = threading.Lock()
        self._open: dict[socket.socket, None] = {}
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            oldest = next(iter(self._open)) if len(self._open) >= MOST_CONNECTIONS else None
            if oldest is not None:
                del self._open[oldest]
            self._open[request] = None
        if oldest is not None:
            with suppress(OSError):  # its peer closed it meanwhile
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A peer that went away is no news."""
        log.debug("connection of %s ended", client_address, exc_info=True)


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    timeout = 10.0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Scrapes are no news."""


class ExpositionServer:
    """`/metrics` and `/healthz` in a thread; a context manager. Raises UnreachableError.

    Parameters
    ----------
    problem
        What is wrong with the process, or None: `/healthz` answers 503 with it, or 200.

    Attributes
    ----------
    url
        Where it answers, with the port that was taken.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        host: str,
        port: int,
        *,
        problem: Callable[[], str | None],
    ) -> None:
        metrics = make_wsgi_app(registry)

        def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            if environ["PATH_INFO"] != "/healthz":
                return metrics(environ, start)
            found = problem()
            status = HTTPStatus.OK if found is None else HTTPStatus.SERVICE_UNAVAILABLE
            start(f"{status.value} {status.phrase}", [("Content-Type", "text/plain")])
            return [(found or "ok").encode()]

        try:
            server = _IPv6Server if ":" in host else _Server
            self._server = make_server(host, port, app, server, handler_class=_Quiet)
        except OSError as error:
            raise UnreachableError("HTTP address", f"{host}:{port}: {error.strerror}") from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
