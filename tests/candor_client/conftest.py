"""The project's own API on a loopback port, and the same calls by the sync and the async client."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from candor_client import AsyncClient, Client
from monitor.abstain.asking import Asker
from tests.monitor.api.conftest import (
    MakeService,
    Service,
    engine,
    feedback_record,
    make_service,
    response_record,
)
from tests.monitor.api.test_abstain import score
from tests.monitor.api.test_lists import stored

__all__ = ["engine", "feedback_record", "make_service", "response_record", "stored"]


class Awaited:
    """An `AsyncClient` whose methods are called as those of `Client` are."""

    def __init__(self, made: AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self._made, self._loop = made, loop

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._made, name)

        def call(*given: Any, **named: Any) -> Any:
            found = method(*given, **named)
            if inspect.isasyncgen(found):
                return self._loop.run_until_complete(_list(found))
            return self._loop.run_until_complete(found)

        return call


async def _list(found: Any) -> list[Any]:
    return [one async for one in found]


@pytest.fixture
def service(make_service: MakeService) -> Iterator[Service]:
    asker = Asker(score, max_waiting=4)
    yield make_service(asker=asker)
    asker.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Service], str]]:
    """Serves an API; returns its address."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(service: Service) -> str:
        config = uvicorn.Config(service.client.app, host="127.0.0.1", port=0, log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)


MakeClient = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Makes a client of an address; options as those of `Client`."""
    loop = asyncio.new_event_loop()
    opened: list[Any] = []

    def make(url: str, *, fail: Any = None, **options: Any) -> Any:
        if request.param == "sync":
            if fail is not None:
                options["transport"] = fail.sync()
            opened.append(Client(url, **options))
            return opened[-1]
        if fail is not None:
            options["transport"] = fail.asynchronous()
        if (sleep := options.get("sleep")) is not None:

            async def pause(seconds: float) -> None:
                sleep(seconds)

            options["sleep"] = pause
        opened.append(Awaited(AsyncClient(url, **options), loop))
        return opened[-1]

    yield make
    for client in opened:
        client.close()
    loop.close()
