"""The server over real sockets: who is slow or many ends, and everybody else is answered."""

from __future__ import annotations

import json
import logging
import resource
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from fastapi import FastAPI, Response

from monitor.http.access import Scope, add_key
from monitor.http.connections import affordable
from monitor.http.options import ApiOptions
from monitor.http.server import WebServer
from tests.monitor.api.conftest import MakeService


@pytest.fixture
def key(tmp_path: Path) -> str:
    return add_key(tmp_path / "keys.json", name="all", scopes=tuple(Scope), assistants=None)


@pytest.fixture
def url(make_service: MakeService, key: str, tmp_path: Path) -> Iterator[str]:
    service = make_service(keys_file=tmp_path / "keys.json", max_body_bytes=40_000_000)
    options = ApiOptions(read_timeout_s=1.0, max_connections=20)
    with WebServer(service.client.app, "127.0.0.1", 0, options=options) as web:  # type: ignore[arg-type]
        yield web.url


def connected(url: str, sent: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=30)
    made.sendall(sent)
    return made


def read_to_end(connection: socket.socket) -> bytes:
    found = b""
    try:
        while part := connection.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


def test_who_has_no_key_is_answered_at_once_and_costs_nothing(url: str) -> None:
    """A gigabyte is offered to a JSON route: it is refused before the first of it is read."""
    process = psutil.Process()
    httpx.get(f"{url}/healthz")
    before = process.memory_info().rss
    head = b"POST /v1/gate/check HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n"
    connection = connected(url, head + b"content-type: application/json\r\n\r\n")
    chunk = b"100000\r\n" + b"[" * 0x100000 + b"\r\n"
    sent = 0
    try:
        for _ in range(1_000):
            connection.sendall(chunk)
            sent += len(chunk)
    except OSError:
        pass
    assert read_to_end(connection).startswith(b"HTTP/1.1 401")
    assert sent < 100 * len(chunk), "the connection was closed"
    assert process.memory_info().rss - before < 30_000_000


def test_half_a_request_is_given_up(url: str) -> None:
    for sent in (b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: b\r\n"):
        connection = connected(url, sent)
        answer = read_to_end(connection)
        assert answer == b"" if not sent else answer.startswith(b"HTTP/1.1 408")


def test_a_dripping_head_is_given_up_too(url: str) -> None:
    connection = connected(url, b"GET /healthz HTTP/1.1\r\n")
    drips = 0
    try:
        while drips < 600:
            connection.sendall(b"x: y\r\n")
            time.sleep(0.05)
            drips += 1
    except OSError:
        pass
    assert drips < 600


def test_the_oldest_that_waits_makes_room(url: str) -> None:
    held = [connected(url, b"GET /healthz HTTP/1.1\r\nhost: 127") for _ in range(60)]
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert b"200" not in read_to_end(held[0])


def test_who_takes_no_answer_is_given_up() -> None:
    """A page of forty megabytes is asked for and never read."""
    app = FastAPI()
    app.get("/large")(lambda: Response(b"x" * 40_000_000))
    options = ApiOptions(read_timeout_s=0.5)
    with WebServer(app, "127.0.0.1", 0, options=options) as web:
        connection = connected(web.url, b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        mine = connection.getsockname()[1]
        end = time.monotonic() + 60
        while any(
            one.raddr and one.raddr.port == mine and one.status == psutil.CONN_ESTABLISHED
            for one in psutil.Process().net_connections("tcp")
        ):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert len(read_to_end(connection)) < 40_000_000


def test_no_http_at_all_is_a_problem_document(url: str) -> None:
    answer = read_to_end(connected(url, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 400


def test_health_is_answered_while_a_large_body_is_parsed(url: str, key: str) -> None:
    body = b'{"assistant": "shop", "rows": [' + b",".join([b'{"a":{}}'] * 1_000_000) + b"]}"
    answers: list[int] = []
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def ask() -> None:
        answers.append(
            httpx.post(
                f"{url}/v1/gate/check", content=body, headers=headers, timeout=120
            ).status_code
        )

    asking = threading.Thread(target=ask)
    asking.start()
    healthy = 0
    while asking.is_alive():
        assert httpx.get(f"{url}/healthz", timeout=60).status_code == 200
        healthy += asking.is_alive()
        time.sleep(0.02)
    asking.join()
    assert answers == [422], "the rows are no rows"
    assert healthy >= 3


def test_fewer_connections_where_fewer_files_may_be_opened() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most, at_once = affordable(10)
    assert most == 10
    assert at_once + most < soft


CROWDED = """
    import logging, resource, sys, time
    resource.setrlimit(resource.RLIMIT_NOFILE, (120, 120))
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    from fastapi import FastAPI
    from monitor.http.server import WebServer
    app = FastAPI()
    app.get("/healthz")(lambda: {})
    with WebServer(app, "127.0.0.1", 0) as web:
        print(web.url, flush=True)
        sys.stdin.read()
"""


def test_more_connections_than_files_fill_no_log_and_stop_nobody() -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CROWDED)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    held = [connected(url, b"GET /healthz HTTP/1.1\r\n") for _ in range(300)]
    for _ in range(3):
        assert httpx.get(f"{url}/healthz", timeout=20).status_code == 200
    _, log = server.communicate("", timeout=60)
    for one in held:
        one.close()
    assert len(log.splitlines()) < 50, log[-2000:]
    assert logging.getLogger("uvicorn.error").level <= logging.ERROR
