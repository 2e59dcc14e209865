"""An HTTP server in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from functools import partial
from typing import Any, Self

import uvicorn
from fastapi import FastAPI

from evidence import UnreachableError
from evidence.structs import build_types
from monitor.http.connections import BoundedProtocol, Connections, affordable, out_of_files
from monitor.http.options import ApiOptions

log = logging.getLogger(__name__)

_QUIET_S = 60.0


class WebServer:
    """A running server; a context manager that ends it after the requests in progress.

    Attributes
    ----------
    url
        Where it answers, with the port that was taken.

    Parameters
    ----------
    options
        Its limits. The address is given apart, as the tap has another.

    Raises UnreachableError when the address cannot be had.
    """

    def __init__(
        self,
        app: FastAPI,
        host: str,
        port: int,
        *,
        options: ApiOptions | None = None,
        start_timeout_s: float = 20.0,
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise UnreachableError("HTTP address", f"{host}:{port}: {error.strerror}") from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}"
        options = options or ApiOptions()
        most, backlog = affordable(options.max_connections)
        connections = Connections(most, options.read_timeout_s)
        config = uvicorn.Config(
            app,
            http=partial(BoundedProtocol, bounds=connections),  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            log_level=logging.ERROR,
            access_log=False,
            server_header=False,
            backlog=backlog,
            timeout_graceful_shutdown=10,
        )
        self._server = uvicorn.Server(config)
        self._told_at_s = float("-inf")
        build_types()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._thread.start()
        self._wait(start_timeout_s)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        asyncio.get_running_loop().set_exception_handler(self._on_loop_error)
        await self._server.serve(sockets=[self._socket])

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not out_of_files(context.get("exception")):
            loop.default_exception_handler(context)
        elif time.monotonic() - self._told_at_s > _QUIET_S:
            # The loop tells it thousands of times a minute, and the disk would be next.
            self._told_at_s = time.monotonic()
            log.error("connections are refused: the process may open no more files (ulimit -n)")

    def _wait(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                self.close()
                raise UnreachableError("HTTP server", f"not up after {timeout_s:g} s")
            time.sleep(0.01)

    def close(self) -> None:
        """Finish the requests in progress and end."""
        self._server.should_exit = True
        self._thread.join(timeout=15)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
